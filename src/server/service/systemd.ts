import { join } from "node:path";
import { MARK, type ServiceDefinition, type ServiceWish } from "./definition.ts";

const UNIT = "farhandd.service";

/** The unit for systemd, of the machine or of the user. */
export function defineUnit(wish: ServiceWish): ServiceDefinition {
  const scope = wish.isUser ? ["--user"] : [];
  const systemctl = (...args: string[]) => ({ argv: ["systemctl", ...scope, ...args] });
  return {
    manager: "systemd",
    path: join(wish.directory, UNIT),
    text: renderUnit(wish),
    encoding: "utf8",
    // A restart leaves jobs running, so that installing again is an upgrade.
    enable: [systemctl("daemon-reload"), systemctl("enable", UNIT), systemctl("restart", UNIT)],
    disable: [systemctl("disable", "--now", UNIT)],
    forget: [systemctl("daemon-reload")],
    isEnabled: { ...systemctl("is-enabled", UNIT), pattern: /^enabled$/m },
    isActive: { ...systemctl("is-active", UNIT), pattern: /^active$/m },
    ...(wish.isUser && {
      advice:
        "it starts when you log in, and your last logout ends it with all jobs; to have it from boot on: loginctl enable-linger",
    }),
  };
}

function renderUnit({ argv, reload, isUser }: ServiceWish): string {
  // With a user named, systemd sets HOME and the like, which jobs expect.
  const account = isUser ? "" : "User=root\n";
  return `# ${MARK}; farhandd service uninstall removes it.
[Unit]
Description=Farhand, which runs commands for its clients
${isUser ? "" : "After=network.target\n"}
[Service]
Type=exec
${account}ExecStart=${quoteCommand(argv)}
ExecReload=${quoteCommand(reload)}
# The server only: its keepers and their jobs go on, and the next start finds them.
KillMode=process
Restart=on-failure
RestartSec=1
TimeoutStopSec=30
# A job that runs out of memory is that job's end, not the server's.
OOMPolicy=continue
# Jobs are counted by their own limits, in control groups of their own where they have some.
TasksMax=infinity
Delegate=yes
# What would make the executable run other code. Nothing else is taken away: jobs would inherit it.
UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN BUN_INSPECT

[Install]
WantedBy=${isUser ? "default.target" : "multi-user.target"}
`;
}

/** A command line by the rules of systemd.service(5), "Command lines": specifiers and variables are taken literally. */
export function quoteCommand([program, ...args]: readonly [string, ...string[]]): string {
  // The program is no place for a variable, so that its dollar signs stay as they are.
  return [quoteWord(program), ...args.map((arg) => quoteWord(arg.replaceAll("$", "$$$$")))].join(" ");
}

function quoteWord(word: string): string {
  const literal = word.replaceAll("%", "%%");
  if (/^[\w./:=@,+[\]%-]+$/.test(literal)) return literal;
  const escaped = literal.replace(/[\\"]/g, "\\$&").replace(/[\0-\x1f\x7f]/g, toEscape);
  return `"${escaped}"`;
}

function toEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
