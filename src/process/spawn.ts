import { closeSync, fstatSync } from "node:fs";
import { setPriority } from "node:os";
import { toSignalName } from "../lib/signal.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import { openPty } from "./pty.ts";
import type { ProcessEnd } from "../protocol/outcome.ts";
import type { Confinement } from "./confinement.ts";
import { type Launched, type Launcher, openLauncherPipes } from "./launcher.ts";
import type { Libc } from "./libc.ts";
import { type InputPipe, openInput, openOutput, type OutputPipe } from "./pipe.ts";
import {
  checkDirectory,
  errorCode,
  explainRefusal,
  findProgram,
  refuseBatchFile,
  StartError,
} from "./program.ts";

/** The soft limit of open descriptors that programs expect; Bun raises its own, and children inherit it. */
const SOFT_DESCRIPTORS = 1024;

export interface SpawnOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
  /** What is run, where its argv[0] does not name it. */
  readonly file?: string | undefined;
  /** Runs it on a terminal of this size, its controlling one, instead of pipes. */
  readonly terminal?: TerminalSize | undefined;
  /** One pipe for stdout and stderr. */
  readonly merge: boolean;
  /** Whether stdin is a pipe; otherwise it is empty. */
  readonly stdin: boolean;
  /** Absent on Windows, where Bun's own pipes are used. */
  readonly libc: Libc | undefined;
  /** What the program is put under before it runs, and how this executable is run as a launcher, which does that. */
  readonly confinement?: Confinement | undefined;
  readonly launcher?: Launcher | undefined;
}

/** What the program used, and the processes that it waited for. */
export interface Usage {
  readonly userMs: number;
  readonly systemMs: number;
  /** Of the largest of them. Unknown where it is less than this process took itself. */
  readonly maxRssBytes?: number;
}

export interface ProcessExit {
  /** How it ended; or why it never ran, where that showed only afterwards. */
  readonly end: ProcessEnd | StartError;
  readonly usage: Usage | undefined;
}

/** A started program: the leader of its own session and process group. */
export interface Child {
  readonly pid: number;
  readonly stdin: InputPipe | undefined;
  readonly stdout: OutputPipe;
  readonly stderr: OutputPipe | undefined;
  /** Gives its terminal another size, if it has one. */
  readonly resize?: (size: TerminalSize) => void;
  /** Inodes of these pipes, where they have any. */
  readonly pipes: readonly number[];
  /** Resolves once the process is reaped. */
  readonly exited: Promise<ProcessExit>;
}

/** Starts a program on real pipes. Throws a `StartError` that says what is wrong with which path. */
export function spawnProgram(options: SpawnOptions): Child {
  checkDirectory(options.cwd);
  const file = findProgram(
    options.file ?? options.argv[0] ?? "",
    options.cwd,
    options.env["PATH"] ?? options.env["Path"],
  );
  refuseBatchFile(file);
  if (options.terminal !== undefined) return spawnOnTerminal(file, options, options.terminal);
  return options.libc ? spawnOnPipes(file, options, options.libc) : spawnOnStreams(file, options);
}

function spawnOnPipes(file: string, options: SpawnOptions, libc: Libc): Child {
  const opened: number[] = [];
  const pipe = () => {
    const [read, write] = libc.pipe();
    opened.push(read, write);
    return { read, write };
  };
  const output = (fd: number) => {
    libc.prepareReading(fd);
    return openOutput(Bun.file(fd).stream(), { libc, number: fd });
  };
  try {
    const input = options.stdin ? pipe() : undefined;
    const stdout = pipe();
    const stderr = options.merge ? undefined : pipe();
    const stdio: Stdio = [input?.read ?? "ignore", stdout.write, stderr?.write ?? stdout.write];
    const { child, keep, conclude } = startOnPipes(file, options, stdio, { libc, pipe });
    const inherited = findInheritedRss();
    libc.limitDescriptors(child.pid, SOFT_DESCRIPTORS);
    const ours = [input?.write, stdout.read, stderr?.read, ...keep];
    const pipes = [input?.write, stdout.read, stderr?.read].flatMap((fd) =>
      fd === undefined ? [] : [fstatSync(fd).ino],
    );
    for (const fd of opened.splice(0)) if (!ours.includes(fd)) closeSync(fd);
    return {
      pid: child.pid,
      stdin: input && openInput(input.write),
      stdout: output(stdout.read),
      stderr: stderr && output(stderr.read),
      pipes,
      exited: exitOf(child, inherited, conclude),
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

/** Everything that it writes is stdout. That it is the controlling terminal is the launcher's doing. */
function spawnOnTerminal(file: string, options: SpawnOptions, size: TerminalSize): Child {
  const { libc, launcher } = options;
  if (process.platform !== "linux" || libc === undefined || launcher === undefined)
    throw new StartError("start_failed", "Cannot run on a terminal: this system's server offers none");
  const pty = openPty(size);
  const opened = [pty.master, pty.slave];
  const pipe = () => {
    const [read, write] = libc.pipe();
    opened.push(read, write);
    return { read, write };
  };
  try {
    const stdio: Stdio = [pty.slave, pty.slave, pty.slave];
    const { child, keep, conclude } = startOnPipes(file, options, stdio, { libc, pipe });
    const inherited = findInheritedRss();
    for (const fd of opened.splice(0)) if (fd !== pty.master && !keep.includes(fd)) closeSync(fd);
    // In this order: once Bun writes to a terminal, it takes its other end for a file that can be sought in.
    const stdout = openOutput(Bun.file(pty.master).stream(), { libc: pty, number: pty.master });
    return {
      pid: child.pid,
      stdin: pty.openInput(),
      stdout,
      stderr: undefined,
      resize: (size) => pty.resize(size),
      pipes: [],
      exited: exitOf(child, inherited, conclude),
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

interface Started {
  readonly child: Bun.Subprocess;
  /** Descriptors that stay open besides the program's. */
  readonly keep: readonly number[];
  readonly conclude?: () => Launched | undefined;
}

interface Pipes {
  readonly libc: Libc;
  readonly pipe: () => { readonly read: number; readonly write: number };
}

/** Starts the program, or a launcher that becomes it. */
function startOnPipes(file: string, options: SpawnOptions, stdio: Stdio, { libc, pipe }: Pipes): Started {
  const { confinement, launcher, argv, env, terminal } = options;
  if (confinement === undefined && terminal === undefined)
    return { child: start(file, options, stdio), keep: [] };
  if (launcher === undefined) return { child: startWrapped(file, options, stdio), keep: [] };
  const [order, report] = [pipe(), pipe()];
  const [self = "", ...flags] = launcher.argv;
  const itself = { ...options, argv: [launcher.argv0, ...flags], env: {} };
  const child = start(self, itself, [...stdio, order.read, report.write]);
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
    ...(terminal !== undefined && { terminal: true }),
    doors: group?.doors ?? [],
  });
  return {
    child,
    keep: [order.write, report.read],
    conclude: () => pipes.conclude(argv[0] ?? "", file, nice),
  };
}

/** Where there is no launcher (macOS), the system's own programs do what can be done. */
function startWrapped(file: string, options: SpawnOptions, stdio: Stdio): Bun.Subprocess {
  const { nice, processes } = options.confinement ?? {};
  const words = [
    ...(nice === undefined ? [] : ["/usr/bin/nice", "-n", String(nice)]),
    ...(processes === undefined ? [] : ["/bin/sh", "-c", 'ulimit -u "$0" && exec "$@"', String(processes)]),
    ...options.argv,
  ];
  const [first = file] = words;
  return start(first === options.argv[0] ? file : first, { ...options, argv: words }, stdio);
}

/** Windows has no pipe2; Bun's own pipes are real ones there. Both streams of `merge` cannot share one, so they interleave. */
function spawnOnStreams(file: string, options: SpawnOptions): Child {
  const child = start(file, options, [options.stdin ? "pipe" : "ignore", "pipe", "pipe"]);
  const nice = options.confinement?.nice;
  if (nice !== undefined) setPriority(child.pid, nice); // Windows has a few classes, which Bun maps this to
  // Bun infers these from literal stdio; here they are known from the line above.
  const sink = child.stdin as unknown as Bun.FileSink | undefined;
  const stdout = child.stdout as unknown as ReadableStream<Uint8Array>;
  const stderr = child.stderr as unknown as ReadableStream<Uint8Array>;
  return {
    pid: child.pid,
    stdin: sink && {
      async write(bytes) {
        await sink.write(bytes);
        await sink.flush();
      },
      end: () => void sink.end(),
    },
    stdout: openOutput(stdout),
    stderr: openOutput(stderr),
    pipes: [],
    exited: exitOf(child, 0),
  };
}

type Stdio = ["ignore" | "pipe" | number, "pipe" | number, "pipe" | number, ...number[]];

function start(file: string, { argv, cwd, env, umask }: SpawnOptions, stdio: Stdio): Bun.Subprocess {
  // Our own umask is the keeper's; nothing else of this process runs between these two lines.
  const own = process.umask(umask);
  try {
    return Bun.spawn([file, ...argv.slice(1)], {
      argv0: argv[0] ?? file,
      cwd,
      env,
      stdio,
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
function findInheritedRss(): number {
  return process.platform === "linux" ? process.resourceUsage().maxRSS * 1024 : 0;
}

async function exitOf(
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
