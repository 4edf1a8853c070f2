import { basename } from "node:path";
import { readUsers } from "./passwd.ts";

/** Milliseconds for which whoever knows users that are listed nowhere here may keep all else waiting. */
const PATIENCE = 2_000;

/** The environment that jobs and keepers inherit: the server's own, less what steers Bun or Farhand itself. */
export function toJobEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || /^(?:BUN|FARHAND)_/i.test(name) ? [] : [[name, value] as const],
    ),
  );
}

/** What decides how an executable is loaded, or what Bun in it does, before it does anything. */
const STEERING = /^(?:BUN_|LD_|DYLD_|GLIBC_TUNABLES$|MALLOC_)/i;

/** The environment of one of our own runners, whoever has set what in it: nothing of it makes the runner something else. */
export function toRunnerEnvironment(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !STEERING.test(name)));
}

/** The argv by which this system runs a command line. */
export function toShell(line: string): readonly string[] {
  return process.platform === "win32" ? ["cmd.exe", "/d", "/s", "/c", line] : ["/bin/sh", "-c", line];
}

/** The shell of the user's login, which a dash before its name tells that it is one. */
export function toLoginShell(): { readonly file: string; readonly argv: readonly string[] } {
  if (process.platform === "win32") return { file: "powershell.exe", argv: ["powershell.exe", "-NoLogo"] };
  const file = findShell() || process.env["SHELL"] || "/bin/sh";
  return { file, argv: [`-${basename(file)}`] };
}

/** By our user's entry. What Bun tells of the user is $SHELL. */
function findShell(): string | undefined {
  const uid = process.geteuid?.();
  return (uid === undefined ? undefined : readUsers().get(uid)?.shell) || askShell(String(uid));
}

/** Users may be listed elsewhere: by a directory service, or by macOS. */
function askShell(uid: string): string | undefined {
  const ask = process.platform === "darwin" ? ["/usr/bin/id", "-P"] : ["getent", "passwd", uid];
  try {
    const { stdout, exitCode } = Bun.spawnSync(ask, { stdin: "ignore", stderr: "ignore", timeout: PATIENCE });
    return exitCode === 0 ? stdout.toString().trim().split(":").at(-1) : undefined;
  } catch {
    return undefined; // no such program here, as in musl's smallest systems
  }
}
