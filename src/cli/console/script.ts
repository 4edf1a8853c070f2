import { abortable } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import { complain, type Context } from "../context.ts";
import { LineSplitter, MAX_LINE_BYTES } from "../lines.ts";
import type { Runner } from "./runner.ts";

/** Characters of a line that failed which are shown. */
const MAX_SHOWN = 200;

/** A line of a script that is to be done. */
export interface ScriptLine {
  readonly number: number;
  readonly text: string;
}

export interface ScriptOptions {
  readonly runner: Runner;
  readonly context: Context;
  /** Aborted by what ends the script. */
  readonly signal: AbortSignal;
  /** Go on behind a line that fails. */
  readonly keepsGoing: boolean;
}

/**
 * Does what the lines say, one after another, up to the first that fails; answers its exit code, or 0. Throws the signal's
 * reason, and `invalid_input` for a script that cannot be read.
 */
export async function runScript(
  lines: AsyncGenerator<ScriptLine, void, void>,
  { runner, context, signal, keepsGoing }: ScriptOptions,
): Promise<number> {
  let first: number | undefined;
  for (;;) {
    const next = await abortable(lines.next(), signal);
    if (next.done === true) return first ?? 0;
    const { number, text } = next.value;
    const done = await runner.run(text);
    signal.throwIfAborted();
    if (done.type === "exit") return done.code;
    if (done.code === 0) continue;
    complain(context, `Line ${number} failed with exit code ${done.code}: ${shorten(text)}`);
    first ??= done.code;
    if (!keepsGoing) return first;
  }
}

/** The lines of a script as they come, without empty ones and comments. Throws `invalid_input` for what is no text. */
export async function* readScript(source: AsyncIterable<Uint8Array>): AsyncGenerator<ScriptLine, void, void> {
  const splitter = new LineSplitter();
  let number = 0;
  for await (const bytes of source)
    for (const { line } of splitter.push(bytes)) yield* toLine(line, ++number);
  const last = splitter.take();
  if (last !== undefined) yield* toLine(last, ++number);
}

function* toLine(line: Uint8Array, number: number): Generator<ScriptLine, void, void> {
  const text = decode(line, number).replace(/\r?\n$/, "");
  if (!/^[ \t]*(#|$)/.test(text)) yield { number, text };
}

function decode(line: Uint8Array, number: number): string {
  if (line.length >= MAX_LINE_BYTES) throw refused(number, "it is longer than 1 MiB");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(line);
  } catch {
    throw refused(number, "it is no UTF-8");
  }
}

function refused(number: number, why: string): AppError {
  return new AppError("invalid_input", `Cannot read line ${number} of the script: ${why}`);
}

function shorten(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}
