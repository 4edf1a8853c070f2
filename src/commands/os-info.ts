import * as v from "valibot";
import { formatDuration } from "../lib/duration.ts";
import { escapeControls } from "../lib/escape.ts";
import { formatSize } from "../lib/size.ts";
import { MachineInfo } from "../protocol/machine.ts";
import { defineForeground } from "./define.ts";

export const osInfo = defineForeground({
  name: "os-info",
  summary: "Tell what the machine and its system are",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({}),
  result: MachineInfo,

  run: (_input, { machine }) => machine.info(),

  cli: {
    args: {},
    examples: [
      ["farhand os-info", "system, processors, memory, uptime, name, shell"],
      ["farhand os-info --json | jq -r .system", "one word: linux, mac or windows"],
    ],
    toInput: () => ({}),
    show: toText,
  },
});

function toText({ memory, uptime, ...info }: MachineInfo): string {
  const lines = {
    system: info.system,
    name: info.name,
    version: info.version,
    kernel: info.kernel,
    architecture: info.architecture,
    cpus: String(info.cpus),
    memory: `${formatSize(memory.total)}, ${formatSize(memory.available)} available`,
    uptime: formatDuration(uptime),
    hostname: info.hostname,
    shell: info.shell,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name.padEnd(12)}  ${escapeControls(value)}`.trimEnd())
    .join("\n");
}
