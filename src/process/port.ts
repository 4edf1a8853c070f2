import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Who listens on a TCP port of this machine; undefined where the system does not tell, or not us. */
export function findPortOwner(port: number): { readonly pid: number; readonly name: string } | undefined {
  if (process.platform !== "linux") return undefined;
  const inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) => listeners(table, port));
  const pid = inodes.length === 0 ? undefined : pids().find((pid) => holdsAny(pid, inodes));
  return pid === undefined ? undefined : { pid, name: read(`/proc/${pid}/comm`).trim() };
}

/** Inodes of the sockets that listen on a port; columns as in proc_net(5), 0A is LISTEN. */
function listeners(table: string, port: number): string[] {
  return read(table)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local = "", , state]) => state === "0A" && Number.parseInt(local.split(":")[1] ?? "", 16) === port,
    )
    .flatMap((columns) => columns[9] ?? []);
}

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function holdsAny(pid: number, inodes: readonly string[]): boolean {
  try {
    const directory = `/proc/${pid}/fd`;
    return readdirSync(directory).some((fd) => inodes.includes(toInode(`${directory}/${fd}`)));
  } catch {
    return false; // it ended meanwhile, or belongs to somebody else
  }
}

function toInode(path: string): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1] ?? "";
  } catch {
    return ""; // closed meanwhile
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
