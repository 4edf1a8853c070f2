import { AppError } from "../protocol/error.ts";
import type { ProcessEnd } from "../protocol/outcome.ts";
import { encodeValue } from "../protocol/cbor/payload.ts";
import type { Said } from "./invocation.ts";

/** Bytes that a line of a program's may take. */
const MAX_LINE_BYTES = 1024 * 1024;

/** A program that was started, and ends with us. */
export interface StartedProgram {
  /** Resolves when it has taken them; rejects when nobody will. */
  write(bytes: Uint8Array): Promise<void>;
  /** It sees the end of its input. */
  end(): void;
  /** What it prints, until it has ended and all is read that it left, whoever may print more. */
  read(): Promise<Uint8Array | undefined>;
  readonly exited: Promise<ProcessEnd>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program in our directory, with our environment and stderr. Throws `not_found` where there is none, `os_error` where it cannot run. */
export type StartProgram = (argv: readonly string[]) => StartedProgram;

export interface ProgramCall {
  readonly command: string;
  readonly argv: readonly string[];
  /** What it finds as its first line, as JSON. */
  readonly input: unknown;
  /** What it finds behind that, until it ends. */
  readonly more: AsyncIterable<Uint8Array>;
}

/**
 * Does a call of a command that is a program: a value for each line that it prints, which is JSON's, or where it is none the line
 * itself; and how it ended. When the signal is aborted it is sent SIGTERM. Throws what `start` throws, and `threw` for a line of
 * more than 1 MiB.
 */
export async function* runProgram(
  { command, argv, input, more }: ProgramCall,
  start: StartProgram,
  signal: AbortSignal,
): AsyncGenerator<Said, ProcessEnd, void> {
  const program = start(argv);
  const stop = () => program.kill("SIGTERM");
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    startFeeding(program, JSON.stringify(input ?? {}), more);
    for await (const line of cutLines(program, command)) yield { type: "value", payload: toPayload(line) };
    return await program.exited;
  } finally {
    signal.removeEventListener("abort", stop);
    program.kill("SIGKILL"); // it has ended, unless nobody wants more of it
  }
}

/** Runs by itself, until the program takes no more, or there is none. */
function startFeeding(program: StartedProgram, first: string, more: AsyncIterable<Uint8Array>): void {
  const feed = async () => {
    await program.write(new TextEncoder().encode(`${first}\n`));
    for await (const chunk of more) await program.write(chunk);
  };
  feed()
    .catch(() => {}) // it need not read all; how it ends says what came of it
    .finally(() => program.end());
}

async function* cutLines(program: StartedProgram, command: string): AsyncGenerator<Uint8Array, void, void> {
  let pending: Uint8Array[] = [];
  let size = 0;
  for (let chunk = await program.read(); chunk !== undefined; chunk = await program.read()) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...pending, chunk.subarray(start, end)]);
      [pending, size, start] = [[], 0, end + 1];
    }
    pending.push(new Uint8Array(chunk.subarray(start)));
    size += chunk.length - start;
    if (size > MAX_LINE_BYTES)
      throw new AppError("threw", `Cannot finish "${command}": a line that it prints takes more than 1 MiB`);
  }
  if (size > 0) yield Buffer.concat(pending);
}

/** What is JSON but cannot be told as a value (it is too deep) is text too. */
function toPayload(line: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(line).replace(/\r$/, "");
  try {
    return encodeValue(JSON.parse(text));
  } catch {
    return encodeValue(text);
  }
}
