import { toSignalName } from "../lib/signal.ts";
import { type Launched, type Launcher, openLauncherPipes } from "./launcher.ts";
import type { Libc } from "./libc.ts";
import { errorCode, explainRefusal, quote, StartError } from "./program.ts";
import type { ProcessExit, SpawnOptions } from "./spawn.ts";

/** The soft limit of open descriptors that programs expect; Bun raises its own, and children inherit it. */
export const SOFT_DESCRIPTORS = 1024;

/** A program that was started, maybe by way of a launcher. */
export interface Started {
  readonly child: Bun.Subprocess;
  /** Descriptors that stay open besides the program's. */
  readonly keep: readonly number[];
  readonly conclude?: () => Launched | undefined;
}

/** What pipes to a launcher are made with. */
export interface Pipes {
  readonly libc: Libc;
  readonly pipe: () => { readonly read: number; readonly write: number };
}

/** Starts the program, or a launcher that becomes it. */
export function startOnPipes(file: string, options: SpawnOptions, stdio: Stdio, pipes: Pipes): Started {
  const { confinement, launcher, user } = options;
  if (confinement === undefined && user === undefined)
    return { child: start(file, options, stdio), keep: [] };
  if (launcher === undefined) return { child: startWrapped(file, options, stdio), keep: [] };
  return startLauncher(file, { ...options, launcher }, stdio, pipes);
}

/** Starts a launcher, which becomes the program; if it is to run on a terminal, that is its stdin. */
export function startLauncher(
  file: string,
  options: SpawnOptions & { readonly launcher: Launcher },
  stdio: Stdio,
  { libc, pipe }: Pipes,
): Started {
  const { confinement, launcher, argv, cwd, env, speaks, terminal, user } = options;
  const [order, report] = [pipe(), pipe()];
  const [self = "", ...flags] = launcher.argv;
  // Where somebody else is to be, he goes himself.
  const itself = { ...options, argv: [launcher.argv0, ...flags], env: {}, ...(user && { cwd: "/" }) };
  const [input, output, errors, said = "ignore"] = stdio;
  const child = start(self, itself, [input, output, errors, said, order.read, report.write]);
  const pipes = openLauncherPipes(libc, order.write, report.read);
  const { nice, memoryBytes, processes, group } = confinement ?? {};
  pipes.send({
    file,
    argv: [...argv],
    env,
    descriptors: SOFT_DESCRIPTORS,
    ...(nice !== undefined && { nice }),
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...(processes !== undefined && { processes }),
    doors: group?.doors ?? [],
    speaks: speaks === true,
    hasTerminal: terminal !== undefined,
    ...(user && { user: { ...user, cwd, exact: options.exact ?? false } }),
  });
  return {
    child,
    keep: [order.write, report.read],
    conclude: () => pipes.conclude(argv[0] ?? "", file, nice),
  };
}

/** Where there is no launcher (macOS), the system's own programs do what can be done. Throws a `StartError`. */
export function startWrapped(
  file: string,
  options: SpawnOptions,
  stdio: Stdio | Bun.TerminalOptions,
): Bun.Subprocess {
  const { nice, processes } = options.confinement ?? {};
  const words = [
    ...(nice === undefined ? [] : ["/usr/bin/nice", "-n", String(nice)]),
    ...toSwitch(options),
    ...(processes === undefined ? [] : ["/bin/sh", "-c", 'ulimit -u "$0" && exec "$@"', String(processes)]),
    ...(options.user === undefined ? options.argv : toEntry(file, options)),
  ];
  const [first = file] = words;
  const cwd = options.user === undefined ? options.cwd : "/";
  return start(first === options.argv[0] ? file : first, { ...options, cwd, argv: words }, stdio);
}

/** The words before those of somebody else's program: chroot(8) of macOS, which leaves the root where it is. */
function toSwitch({ user, argv }: SpawnOptions): readonly string[] {
  if (user === undefined) return [];
  if (process.platform !== "darwin") throw refuseUser(argv);
  const { uid, gid, groups } = user;
  // It takes sixteen at most, and leaves ours where it is told none.
  const others = groups.length === 0 ? [gid] : groups.slice(0, 16);
  return ["/usr/sbin/chroot", "-G", others.join(), "-g", String(gid), "-u", String(uid), "/"];
}

/** What is said where a program cannot be another user's. */
export function refuseUser([name = ""]: readonly string[]): StartError {
  const why = "this system offers no way to";
  return new StartError("start_failed", `Cannot run ${quote(name)} as another user: ${why}`);
}

/** A shell that goes to the directory as whom it is, and becomes the program, under the name that this is to have. */
function toEntry(file: string, { cwd, argv: [name = file, ...rest] }: SpawnOptions): readonly string[] {
  const script = 'cd -- "$0" || exit 126; exec -a "$1" "${@:2}"';
  return ["/bin/bash", "-c", script, cwd, name, file, ...rest];
}

type Output = "pipe" | number;

/** The standard streams of a program, and further descriptors, of which the first is what a runner says values on. */
export type Stdio = ["ignore" | Output, Output, Output, ...("ignore" | Output)[]];

/** Starts a process as the leader of a session of its own. Throws a `StartError`. */
export function start(
  file: string,
  { argv, cwd, env, umask }: SpawnOptions,
  stdio: Stdio | Bun.TerminalOptions,
): Bun.Subprocess {
  // Our own umask is the keeper's; nothing else of this process runs between these two lines.
  const own = process.umask(umask);
  try {
    return Bun.spawn([file, ...argv.slice(1)], {
      argv0: argv[0] ?? file,
      cwd,
      env,
      ...(stdio instanceof Array ? { stdio } : { terminal: stdio }),
      detached: true,
      windowsHide: true,
    });
  } catch (error) {
    throw explainRefusal(errorCode(error), argv[0] ?? "", file);
  } finally {
    process.umask(own);
  }
}

/** Linux charges a process with the memory of the one that it was forked from: what was ours (bytes) hides what is less. */
export function findInheritedRss(): number {
  return process.platform === "linux" ? process.resourceUsage().maxRSS * 1024 : 0;
}

/** How a child ends. `ownRss`: what `findInheritedRss` said when it was started. */
export async function exitOf(
  child: Bun.Subprocess,
  ownRss: number,
  conclude?: () => Launched | undefined,
): Promise<ProcessExit> {
  const code = await child.exited;
  const launched = conclude?.();
  if (launched?.failure !== undefined) return { end: launched.failure, usage: undefined };
  const usage = child.resourceUsage();
  // Bun gives the number of a signal that it has no name for, whatever its types say.
  const signal: string | number | null = child.signalCode;
  return {
    end:
      signal === null
        ? { type: "exited", code }
        : { type: "signaled", signal: typeof signal === "number" ? toSignalName(signal) : signal },
    usage: usage && {
      userMs: Math.max(0, Number(usage.cpuTime.user) / 1_000 - (launched?.userMs ?? 0)),
      systemMs: Math.max(0, Number(usage.cpuTime.system) / 1_000 - (launched?.systemMs ?? 0)),
      ...(usage.maxRSS > Math.max(ownRss, launched?.rssBytes ?? 0) && { maxRssBytes: usage.maxRSS }),
    },
  };
}
