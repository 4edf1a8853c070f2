import { type Again, findExecutable } from "../process/again.ts";

/** The word behind `runner` for one that is a job, and for one that does calls as the server's own user. */
export const JOB_RUNNER = "job";
export const OWN_RUNNER = "own";

/** How this executable is run again: on Linux by a path that also works when its file was replaced meanwhile. */
export function toSelf(...args: string[]): Again {
  const program = isCompiled() && process.platform === "linux" ? "/proc/self/exe" : process.execPath;
  return { argv: [program, ...(isCompiled() ? [] : [Bun.main]), ...args], argv0: findExecutable() };
}

export function isCompiled(): boolean {
  return Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/");
}
