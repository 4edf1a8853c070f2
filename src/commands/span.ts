import { Pace } from "../lib/pace.ts";
import type { OpenFile } from "./access/reading.ts";

/** Bytes that are read at a time. */
const BLOCK = 256 * 1024;

const NEWLINE = 0x0a;

/** The bytes of a file from one position to before another. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface TailOptions {
  readonly lines: number;
  readonly signal: AbortSignal;
}

/** What a span holds, until it or the file ends. */
export async function* readSpan(
  file: OpenFile,
  { start, end }: Span,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  for (let position = start; position < end;) {
    const chunk = await file.read(position, Math.min(BLOCK, end - position));
    signal.throwIfAborted();
    if (chunk.length === 0) return;
    position += chunk.length;
    yield chunk;
  }
}

/** The last lines of a span, the last of which may be unfinished. It is read from its end, as far as they go. */
export async function findTail(file: OpenFile, span: Span, { lines, signal }: TailOptions): Promise<Span> {
  const end = file.status.size === 0 ? await findEnd(file, span, signal) : span.end;
  const pace = new Pace(signal);
  let left = lines;
  for (let position = end; position > span.start && left > 0;) {
    const from = Math.max(span.start, position - BLOCK);
    const block = await file.read(from, position - from);
    if (block.length < position - from) break; // it shrank: reading on will say so
    // The break that ends the last line begins no other.
    for (let last = position === end ? block.length - 2 : block.length - 1; last >= 0; last--) {
      last = block.lastIndexOf(NEWLINE, last);
      if (last >= 0 && --left === 0) return { start: from + last + 1, end };
      if (last < 0) break;
    }
    position = from;
    if (pace.isDue) await pace.rest();
  }
  return { start: left > 0 ? span.start : end, end };
}

/** Where a file ends that does not say how long it is. */
async function findEnd(file: OpenFile, span: Span, signal: AbortSignal): Promise<number> {
  let end = span.start;
  for await (const { length } of readSpan(file, span, signal)) end += length;
  return end;
}
