import { closeSync } from "node:fs";
import type { ProcessEnd } from "../protocol/outcome.ts";
import type { Libc } from "./libc.ts";
import { type InputPipe, openInput, openOutput, type OutputPipe } from "./pipe.ts";
import { errorCode, explainRefusal, findProgram, refuseBatchFile } from "./program.ts";
import { exitOf } from "./start.ts";

/** A program that is of our process group: whatever ends all of that ends it too. Its stderr is ours. */
export interface Attached extends Omit<InputPipe, "endOfFile"> {
  /** What it prints, until it has ended and all is read that it left, whoever may print more. */
  read(): Promise<Uint8Array | undefined>;
  readonly exited: Promise<ProcessEnd>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program in our directory and environment, as they are now. Throws a `StartError`. */
export function startAttached(argv: readonly string[], libc: Libc | undefined): Attached {
  const [name = "", ...rest] = argv;
  const { PATH: path } = process.env;
  const file = findProgram(name, process.cwd(), path);
  refuseBatchFile(file);
  const pipes = libc && { stdin: libc.pipe(), stdout: libc.pipe() };
  try {
    const child = Bun.spawn([file, ...rest], {
      argv0: name,
      cwd: process.cwd(),
      env: process.env,
      stdin: pipes?.stdin[0] ?? "pipe",
      stdout: pipes?.stdout[1] ?? "pipe",
      stderr: "inherit",
      windowsHide: true,
    });
    const { stdin, stdout } = pipes && libc ? openEnds(pipes, libc) : openStreams(child);
    // Only how it ends is asked for: what it used is part of what we use.
    const exited = exitOf(child, 0).then(({ end }) => ("type" in end ? end : FAILED));
    const patient = new AbortController().signal;
    exited
      .then(() => stdout.caughtUp(patient))
      .then(() => stdout.close())
      .catch(() => {}); // whoever reads is told
    return { ...stdin, read: () => stdout.read(), exited, kill: (signal) => child.kill(signal) };
  } catch (error) {
    if (pipes) for (const fd of [pipes.stdin[1], pipes.stdout[0]]) closeSync(fd);
    throw explainRefusal(errorCode(error), name, file);
  } finally {
    if (pipes) for (const fd of [pipes.stdin[0], pipes.stdout[1]]) closeSync(fd);
  }
}

/** What a launcher would have told, which there is none of. */
const FAILED: ProcessEnd = { type: "exited", code: 1 };

interface Ends {
  readonly stdin: InputPipe;
  readonly stdout: OutputPipe;
}

function openEnds({ stdin, stdout }: Record<keyof Ends, readonly [number, number]>, libc: Libc): Ends {
  libc.prepareReading(stdout[0]);
  const source = { number: stdout[0], pending: libc.pending };
  return { stdin: openInput(stdin[1]), stdout: openOutput(Bun.file(stdout[0]).stream(), source) };
}

/** Bun infers these from literal stdio; here they are known from what it was started with. */
function openStreams(child: Bun.Subprocess): Ends {
  const sink = child.stdin as unknown as Bun.FileSink;
  const stdout = child.stdout as unknown as ReadableStream<Uint8Array>;
  return { stdin: toInputPipe(sink), stdout: openOutput(stdout) };
}

/** A pipe of Bun's own, which is the only kind on Windows. */
export function toInputPipe(sink: Bun.FileSink): InputPipe {
  return {
    async write(bytes) {
      await sink.write(bytes);
      await sink.flush();
    },
    end: () => void sink.end(),
  };
}
