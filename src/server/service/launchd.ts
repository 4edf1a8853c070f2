import { join } from "node:path";
import { escapeXml, MARK, type ServiceDefinition, type ServiceWish } from "./definition.ts";

const LABEL = "farhandd";

/** The property list for launchd: a daemon of the machine, or an agent of the user. */
export function defineAgent(wish: ServiceWish): ServiceDefinition {
  const domain = wish.isUser ? `gui/${wish.uid}` : "system";
  const target = `${domain}/${LABEL}`;
  const path = join(wish.directory, `${LABEL}.plist`);
  const print = ["launchctl", "print", target];
  return {
    manager: "launchd",
    path,
    text: renderPlist(wish),
    encoding: "utf8",
    enable: [
      { argv: ["launchctl", "bootout", target], mayFail: true }, // an earlier one, which may not be there
      { argv: ["launchctl", "enable", target] },
      { argv: ["launchctl", "bootstrap", domain, path] },
    ],
    disable: [{ argv: ["launchctl", "bootout", target], mayFail: true }],
    forget: [],
    isEnabled: { argv: print, pattern: /./ },
    isActive: { argv: print, pattern: /^\s*state = running$/m },
    ...(wish.isUser && { advice: "it starts when you log in" }),
  };
}

function renderPlist({ argv }: ServiceWish): string {
  const words = argv.map((word) => `    <string>${escapeXml(word)}</string>\n`).join("");
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ${MARK}; farhandd service uninstall removes it. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${LABEL}</string>
  <key>ProgramArguments</key>
  <array>
${words}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <!-- Keepers and their jobs go on, and the next start finds them. -->
  <key>AbandonProcessGroup</key>
  <true/>
  <key>ExitTimeOut</key>
  <integer>30</integer>
</dict>
</plist>
`;
}
