import * as v from "valibot";
import { JobName } from "./job.ts";
import { FileName } from "./path.ts";
import { ByteString } from "./value.ts";

const count = v.pipe(v.number(), v.minValue(0));

/** What a process does. `blocked`: it waits for a device and cannot be interrupted. Windows tells of none. */
export const ProcessState = v.picklist([
  "running",
  "sleeping",
  "blocked",
  "stopped",
  "zombie",
  "idle",
  "unknown",
]);
export type ProcessState = v.InferOutput<typeof ProcessState>;

/** A process of the machine. */
export const MachineProcess = v.object({
  pid: count,
  ppid: count,
  /** Its user's name, or number where that has no name; empty where the system does not tell. */
  user: v.string(),
  /** Absent where users have no numbers. */
  uid: v.optional(count),
  state: ProcessState,
  /** Milliseconds of processor time. */
  cpuMs: count,
  /** ISO 8601; absent where the system does not tell. */
  startedAt: v.optional(v.string()),
  rssBytes: count,
  /** The system's own short name of it. */
  ...FileName.entries,
  /** The words of its command line; none of a part of the kernel, or where the system does not tell. */
  argv: v.array(ByteString),
  /** The system does not tell words apart: `argv` is the whole line. */
  isLine: v.optional(v.literal(true)),
  /** `argv` is longer, and ends here. */
  isCut: v.optional(v.literal(true)),
  /** Which of this server's jobs it is of. */
  job: v.optional(JobName),
});
export type MachineProcess = v.InferOutput<typeof MachineProcess>;

/** What is known of a machine and its system. */
export const MachineInfo = v.object({
  /** One word, the same on all machines of a kind. */
  system: v.picklist(["linux", "mac", "windows"]),
  /** As the system calls itself: `Debian GNU/Linux`, `macOS`, `Windows 11 Pro`. */
  name: v.string(),
  version: v.string(),
  kernel: v.string(),
  /** `x64` or `arm64`. */
  architecture: v.string(),
  cpus: count,
  /** Bytes; `available` is what programs can have without others being pushed out. */
  memory: v.object({ total: count, available: count }),
  /** Milliseconds since the boot. */
  uptime: count,
  hostname: v.string(),
  /** The shell of the user as whom the server runs. */
  shell: v.string(),
});
export type MachineInfo = v.InferOutput<typeof MachineInfo>;

/** As whom a server runs. `uid`: absent on Windows. */
export const Account = v.object({ name: v.string(), uid: v.optional(count) });
export type Account = v.InferOutput<typeof Account>;

/** The file that a program's name means, or why there is none that can run. */
export const Found = v.object({
  name: v.string(),
  path: v.optional(v.string()),
  reason: v.optional(v.object({ code: v.string(), message: v.string() })),
});
export type Found = v.InferOutput<typeof Found>;

/** What can be done with a machine's power. */
export type PowerAction = "reboot" | "shutdown" | "sleep";
