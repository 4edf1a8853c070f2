import type { FileHandle } from "node:fs/promises";
import { abortable } from "../../lib/abort.ts";

/** Writes all that comes, at the pace of the disk, and answers how many bytes that was; `onWritten` is told on the way. */
export async function pour(
  content: AsyncIterable<Uint8Array>,
  handle: FileHandle,
  signal: AbortSignal,
  onWritten: (bytes: number) => void = () => {},
): Promise<number> {
  let written = 0;
  const chunks = content[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await abortable(chunks.next(), signal);
      if (done) return written;
      for (let from = 0; from < value.length; onWritten(written)) {
        const { bytesWritten } = await handle.write(value, from, value.length - from);
        from += bytesWritten;
        written += bytesWritten;
      }
      signal.throwIfAborted();
    }
  } finally {
    // Nobody may be there to end what never comes.
    Promise.resolve(chunks.return?.()).catch(() => {});
  }
}
