/** Bytes of one line that are held back or looked at: what is longer counts as several lines. */
export const MAX_LINE_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;

/** Puts bytes together to whole lines. */
export class LineSplitter {
  #parts: Uint8Array[] = [];
  #held = 0;

  /** Bytes of the line that has begun. */
  get held(): number {
    return this.#held;
  }

  /** Whole lines, each with where it ends in `bytes`; of the last one the beginning is held back. */
  *push(bytes: Uint8Array): Generator<{ readonly line: Uint8Array; readonly end: number }, void, void> {
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const room = start + MAX_LINE_BYTES - this.#held;
      const end = Math.min(newline < 0 ? bytes.length : newline + 1, room);
      this.#parts.push(bytes.subarray(start, end));
      this.#held += end - start;
      start = end;
      const line = end === newline + 1 || end === room ? this.take() : undefined;
      if (line !== undefined) yield { line, end };
    }
  }

  /** The line that has begun, as if it ended here; undefined if none has. */
  take(): Uint8Array | undefined {
    if (this.#held === 0) return undefined;
    const line = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#held = 0;
    return line;
  }
}

/** A line as text, without what ends it. */
export function toText(line: Uint8Array): string {
  return new TextDecoder().decode(line).replace(/\r?\n$/, "");
}
