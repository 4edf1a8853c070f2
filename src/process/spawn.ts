import { closeSync, fchownSync, fstatSync } from "node:fs";
import { setPriority } from "node:os";
import type { ProcessEnd } from "../protocol/outcome.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import type { Confinement } from "./confinement.ts";
import type { Credentials } from "./credentials.ts";
import { holdDirectory } from "./held-directory.ts";
import type { Launcher } from "./launcher.ts";
import type { Libc } from "./libc.ts";
import { type InputPipe, openInput, openOutput, type OutputPipe } from "./pipe.ts";
import {
  exitOf,
  findInheritedRss,
  refuseUser,
  SOFT_DESCRIPTORS,
  start,
  startOnPipes,
  type Stdio,
} from "./start.ts";
import { spawnOnTerminal } from "./terminal.ts";
import { checkDirectory, findProgram, refuseBatchFile, type StartError } from "./program.ts";

export interface SpawnOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** That has no links: where one leads by now it does not start. */
  readonly exact?: boolean | undefined;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
  /** One pipe for stdout and stderr. */
  readonly merge: boolean;
  /** Whether stdin is a pipe; otherwise it is empty. */
  readonly stdin: boolean;
  /** It is a runner of ours, which says values on a descriptor of its own (protocol/said.ts). */
  readonly speaks?: boolean | undefined;
  /** Absent on Windows, where Bun's own pipes are used. */
  readonly libc: Libc | undefined;
  /** What is run, where its argv[0] does not name it. */
  readonly file?: string | undefined;
  /** The size of the terminal that it runs on, if it does. */
  readonly terminal?: TerminalSize | undefined;
  /** As whom it runs, if not as we do: the directory and the program are then looked for as him. */
  readonly user?: Credentials | undefined;
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

/** The terminal that a program runs on. */
export interface ChildTerminal {
  /** Whether its output waits in the system until it is read; otherwise it must be read as it comes. */
  readonly canWait: boolean;
  resize(size: TerminalSize): void;
}

/** A started program: the leader of its own session and process group. */
export interface Child {
  readonly pid: number;
  readonly stdin: InputPipe | undefined;
  readonly stdout: OutputPipe;
  readonly stderr: OutputPipe | undefined;
  /** What a runner says values on. */
  readonly said?: OutputPipe | undefined;
  /** Inodes of these pipes, where they have any. */
  readonly pipes: readonly number[];
  /** Of a program that runs on one; its output is all `stdout`. */
  readonly terminal?: ChildTerminal;
  /** Resolves once the process is reaped. */
  readonly exited: Promise<ProcessExit>;
}

/** Starts a program on real pipes. Throws a `StartError` that says what is wrong with which path. */
export function spawnProgram(options: SpawnOptions): Child {
  const { terminal, user } = options;
  const file = user === undefined ? findFile(options) : toName(options);
  // Another user's directory is entered, and looked at, as him.
  using held = options.exact && user === undefined ? holdDirectory(options.cwd) : undefined;
  const settled = { ...options, cwd: held?.path ?? options.cwd };
  if (terminal !== undefined) return spawnOnTerminal(file, { ...settled, terminal });
  return options.libc ? spawnOnPipes(file, settled, options.libc) : spawnOnStreams(file, settled);
}

function findFile(options: SpawnOptions): string {
  const { cwd, env } = options;
  checkDirectory(cwd);
  const file = findProgram(toName(options), cwd, env["PATH"] ?? env["Path"]);
  refuseBatchFile(file);
  return file;
}

function toName({ file, argv }: SpawnOptions): string {
  return file ?? argv[0] ?? "";
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
    return openOutput(Bun.file(fd).stream(), { pending: libc.pending, number: fd });
  };
  try {
    const input = options.stdin ? pipe() : undefined;
    const stdout = pipe();
    const stderr = options.merge ? undefined : pipe();
    const said = options.speaks ? pipe() : undefined;
    const streams: Stdio = [input?.read ?? "ignore", stdout.write, stderr?.write ?? stdout.write];
    const stdio: Stdio = said === undefined ? streams : [...streams, said.write];
    own(options, [input?.read, stdout.write, stderr?.write, said?.write]);
    const { child, keep, conclude } = startOnPipes(file, options, stdio, { libc, pipe });
    const inherited = findInheritedRss();
    libc.limitDescriptors(child.pid, SOFT_DESCRIPTORS);
    const ends = [input?.write, stdout.read, stderr?.read];
    const ours = [...ends, said?.read, ...keep];
    const pipes = ends.flatMap((fd) => (fd === undefined ? [] : [fstatSync(fd).ino]));
    for (const fd of opened.splice(0)) if (!ours.includes(fd)) closeSync(fd);
    return {
      pid: child.pid,
      stdin: input && openInput(input.write),
      stdout: output(stdout.read),
      stderr: stderr && output(stderr.read),
      said: said && output(said.read),
      pipes,
      exited: exitOf(child, inherited, conclude),
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

/** A pipe that is opened again by name, as /dev/stdout is, must be of whom it is opened by. Linux only. */
function own({ user, launcher }: SpawnOptions, ends: readonly (number | undefined)[]): void {
  if (user === undefined || launcher === undefined) return;
  for (const end of ends) if (end !== undefined) fchownSync(end, user.uid, user.gid);
}

/** Windows has no pipe2; Bun's own pipes are real ones there. Both streams of `merge` cannot share one, so they interleave. */
function spawnOnStreams(file: string, options: SpawnOptions): Child {
  if (options.user !== undefined) throw refuseUser(options.argv);
  const stdio: Stdio = [options.stdin ? "pipe" : "ignore", "pipe", "pipe"];
  const child = start(file, options, options.speaks ? [...stdio, "pipe"] : stdio);
  const nice = options.confinement?.nice;
  if (nice !== undefined) setPriority(child.pid, nice); // Windows has a few classes, which Bun maps this to
  // Bun infers these from literal stdio; here they are known from the line above.
  const sink = child.stdin as unknown as Bun.FileSink | undefined;
  const stdout = child.stdout as unknown as ReadableStream<Uint8Array>;
  const stderr = child.stderr as unknown as ReadableStream<Uint8Array>;
  const [, , , said] = child.stdio;
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
    said: typeof said === "number" ? openOutput(Bun.file(said).stream()) : undefined,
    pipes: [],
    exited: exitOf(child, 0),
  };
}
