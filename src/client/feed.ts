import { abortable } from "../lib/abort.ts";
import { toMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import type { Input } from "./input.ts";

/** Bytes for a program's stdin; a string is its UTF-8. */
export type Source = string | Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Sends a source to its end, reading a chunk only when the last one is taken. Resolves as soon as nobody takes input any
 * more, leaving the rest unread. Throws `invalid_input` when the source fails, and then leaves the input open: the program
 * would take its end for the end of the whole.
 */
export async function feed(input: Input, source: Source): Promise<void> {
  if (!(await input.ready())) return;
  try {
    if (typeof source === "string") await input.write(new TextEncoder().encode(source));
    else if (source instanceof Uint8Array) await input.write(source);
    else await feedChunks(input, source[Symbol.asyncIterator]());
    input.end();
  } catch (error) {
    if (error instanceof AppError) throw error;
    const why = toMessage(error);
    throw new AppError("invalid_input", `Cannot read stdin: ${why}`, { cause: error });
  }
}

async function feedChunks(input: Input, chunks: AsyncIterator<Uint8Array>): Promise<void> {
  while (await input.ready()) {
    const chunk = await abortable(chunks.next(), input.closed).catch((error: unknown) => {
      if (input.closed.aborted) return undefined; // nobody wants the chunk that is being read
      throw error;
    });
    if (chunk === undefined || chunk.done || !(await input.write(chunk.value))) break;
  }
  // Not awaited: a source that is still reading would hold us up until it has something.
  chunks.return?.().catch(() => {});
}
