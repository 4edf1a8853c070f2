import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, freemem, hostname, release, totalmem, uptime, version } from "node:os";
import type { MachineInfo } from "../../protocol/machine.ts";
import { toLoginShell } from "../environment.ts";
import { readOutput } from "./output.ts";

/** What the machine and its system are. */
export async function readInfo(signal: AbortSignal): Promise<MachineInfo> {
  const [system, available] = await Promise.all([readSystem(signal), readAvailable(signal)]);
  return {
    ...system,
    kernel: release(),
    architecture: arch(),
    cpus: cpus().length,
    memory: { total: totalmem(), available },
    uptime: Math.round(uptime() * 1_000),
    hostname: hostname(),
    shell: toLoginShell().file,
  };
}

type SystemName = Pick<MachineInfo, "system" | "name" | "version">;

async function readSystem(signal: AbortSignal): Promise<SystemName> {
  switch (process.platform) {
    case "darwin":
      return parseSwVers((await readOutput(["/usr/bin/sw_vers"], signal)).toString());
    case "win32":
      return { system: "windows", name: version(), version: release() };
    default: {
      const file = ["/etc/os-release", "/usr/lib/os-release"].find(existsSync);
      return parseOsRelease(file === undefined ? "" : readFileSync(file, "utf8"));
    }
  }
}

async function readAvailable(signal: AbortSignal): Promise<number> {
  if (process.platform === "linux") return parseMeminfo(readFileSync("/proc/meminfo", "latin1"));
  if (process.platform !== "darwin") return freemem();
  return parseVmStat((await readOutput(["/usr/bin/vm_stat"], signal)).toString());
}

/** Reads os-release(5), whose values are quoted as a shell quotes them. */
export function parseOsRelease(text: string): SystemName {
  const values = new Map(
    text.split("\n").flatMap((line) => {
      const [, name, value] = /^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, unquote(value)] as const];
    }),
  );
  return {
    system: "linux",
    name: values.get("NAME") || "Linux",
    version: values.get("VERSION") || values.get("VERSION_ID") || values.get("BUILD_ID") || "",
  };
}

function unquote(value: string): string {
  const [, quoted] = /^"(.*)"$/.exec(value) ?? [];
  if (quoted !== undefined) return quoted.replace(/\\(["$`\\])/g, "$1");
  return /^'(.*)'$/.exec(value)?.[1] ?? value;
}

/** Reads what sw_vers(1) says. `Mac OS X` was its name before 2016. */
export function parseSwVers(text: string): SystemName {
  const read = (name: string) => new RegExp(`^${name}:\\s*(.*?)\\s*$`, "m").exec(text)?.[1] ?? "";
  const build = read("BuildVersion");
  const name = read("ProductName").replace("Mac OS X", "macOS") || "macOS";
  return { system: "mac", name, version: `${read("ProductVersion")}${build && ` (${build})`}` };
}

/** Bytes that programs can have, as /proc/meminfo has them. Linux before 3.14 does not tell: what is free, then. */
export function parseMeminfo(text: string): number {
  const read = (name: string) => new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
  return Number(read("MemAvailable") ?? read("MemFree") ?? 0) * 1024;
}

/** The same of vm_stat(1): what is free, or can be at once. */
export function parseVmStat(text: string): number {
  const page = Number(/page size of (\d+) bytes/.exec(text)?.[1] ?? 4096);
  const read = (name: string) => Number(new RegExp(`^Pages ${name}:\\s+(\\d+)\\.`, "m").exec(text)?.[1] ?? 0);
  return (read("free") + read("inactive") + read("speculative")) * page;
}
