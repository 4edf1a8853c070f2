import { join } from "node:path";
import { escapeXml, MARK, type ServiceDefinition, type ServiceWish } from "./definition.ts";

const TASK = "farhandd";
/** The account of the machine itself. */
const LOCAL_SYSTEM = "S-1-5-18";

/** The scheduled task for Windows, started at boot or when the user logs on. */
export function defineTask(wish: ServiceWish): ServiceDefinition {
  const path = join(wish.directory, `${TASK}-task.xml`);
  const schtasks = (...args: string[]) => ({ argv: ["schtasks", ...args, "/TN", TASK] });
  const query = schtasks("/Query", "/FO", "LIST", "/V");
  return {
    manager: "Task Scheduler",
    path,
    text: renderTask(wish),
    encoding: "utf16le", // which schtasks reads without doubt
    enable: [{ argv: [...schtasks("/Create", "/F").argv, "/XML", path] }, { argv: schtasks("/Run").argv }],
    disable: [{ ...schtasks("/End"), mayFail: true }, { argv: schtasks("/Delete", "/F").argv }],
    forget: [],
    isEnabled: {
      ...schtasks("/Query", "/XML"),
      pattern: /<Enabled>true<\/Enabled>\s*<\/(?:Boot|Logon)Trigger>/,
    },
    isActive: { ...query, pattern: /\bRunning\b/ },
    ...(wish.isUser && { advice: "it starts when you log on" }),
  };
}

function renderTask({ argv: [program, ...args], isUser, account }: ServiceWish): string {
  const trigger = isUser
    ? `<LogonTrigger>\n      <UserId>${escapeXml(account)}</UserId>\n      <Enabled>true</Enabled>\n    </LogonTrigger>`
    : "<BootTrigger>\n      <Enabled>true</Enabled>\n    </BootTrigger>";
  const principal = isUser
    ? `<UserId>${escapeXml(account)}</UserId>\n      <LogonType>InteractiveToken</LogonType>\n      <RunLevel>LeastPrivilege</RunLevel>`
    : `<UserId>${LOCAL_SYSTEM}</UserId>\n      <RunLevel>HighestAvailable</RunLevel>`;
  return `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Farhand, which runs commands for its clients. ${MARK}.</Description>
  </RegistrationInfo>
  <Triggers>
    ${trigger}
  </Triggers>
  <Principals>
    <Principal id="Author">
      ${principal}
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>255</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${escapeXml(program)}</Command>
      <Arguments>${escapeXml(args.map(quoteArgument).join(" "))}</Arguments>
    </Exec>
  </Actions>
</Task>
`;
}

/** As CommandLineToArgvW reads it: backslashes count only before a quote. */
export function quoteArgument(argument: string): string {
  if (/^[^\s"]+$/.test(argument)) return argument;
  return `"${argument.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, "$1$1")}"`;
}
