import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import type { Mount } from "../../commands/access/mounts.ts";

/** A mount with the number that Linux gives it. */
export interface LinuxMount extends Mount {
  readonly id: number;
}

/** Names a file without opening it: nothing happens to a device or a FIFO. Not among the constants that Bun knows. */
const O_PATH = 0o10000000;

/** Those that can be reached: of several in one place the last one covers the others. */
export async function listLinuxMounts(): Promise<readonly Mount[]> {
  const mounts = parseMountInfo(await readFile("/proc/self/mountinfo"));
  return [...new Map(mounts.map((mount) => [Buffer.from(mount.path).toString("latin1"), mount])).values()];
}

/** The mount that a path lies in, as Linux itself says. */
export async function findLinuxMount(absolute: Buffer): Promise<Mount> {
  await using handle = await open(absolute, O_PATH | constants.O_NONBLOCK);
  const [, id] = /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${handle.fd}`, "latin1")) ?? [];
  const mounts = parseMountInfo(await readFile("/proc/self/mountinfo"));
  const mount = mounts.find((mount) => mount.id === Number(id));
  if (mount !== undefined) return mount;
  throw Object.assign(new Error("The mount is gone, or out of reach"), { code: "ENODEV" });
}

/** Reads /proc/PID/mountinfo (proc_pid_mountinfo(5)); what is no line of it is left out. */
export function parseMountInfo(bytes: Uint8Array): readonly LinuxMount[] {
  // One character per byte, so that names keep theirs.
  return Buffer.from(bytes)
    .toString("latin1")
    .split("\n")
    .flatMap((line) => parseLine(line) ?? []);
}

function parseLine(line: string): LinuxMount | undefined {
  // The optional fields before the dash are as many as there are.
  const [front = "", back = ""] = line.split(/ - (.*)/s);
  const [id = "", , , , path, options = ""] = front.split(" ");
  const [system, source] = back.split(" ");
  if (!/^\d+$/.test(id) || path === undefined || system === undefined || source === undefined)
    return undefined;
  return {
    id: Number(id),
    path: unescapeOctal(path),
    source: unescapeOctal(source),
    system: unescapeOctal(system).toString(),
    readOnly: options.split(",").includes("ro"),
  };
}

/** Space, tab, line break and backslash stand as `\040` and so on. */
function unescapeOctal(text: string): Buffer {
  const exact = text.replace(/\\([0-3][0-7]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  );
  return Buffer.from(exact, "latin1");
}
