import { readdirSync, readFileSync } from "node:fs";
import { eventually } from "./eventually.ts";
import type { Running, World } from "./world.ts";

/** Why system calls cannot be tampered with here, or undefined when they can. */
export function findTraceFault(): string | undefined {
  if (Bun.which("strace") === null) return "there is no strace";
  const { success, stderr } = Bun.spawnSync(["strace", "-f", "-qq", "-e", "trace=none", "true"]);
  return success ? undefined : stderr.toString().trim();
}

/** Has a process that runs killed at one of these calls, which is counted from now on. Resolves once it is watched. */
export async function killAt(world: World, pid: number, calls: string, when: number): Promise<Running> {
  const injected = ["-e", `trace=${calls}`, "-e", `inject=${calls}:signal=SIGKILL:when=${when}`];
  const tracer = world.open(["strace", "-f", "-qq", "-o", "/dev/null", ...injected, "-p", String(pid)]);
  await eventually(() => readdirSync(`/proc/${pid}/task`).every((thread) => isTraced(pid, thread)));
  return tracer;
}

function isTraced(pid: number, thread: string): boolean {
  return !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"));
}
