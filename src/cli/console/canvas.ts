import { Writable } from "node:stream";
import type { LineTerminal } from "../context.ts";
import type { Sink } from "../sink.ts";

/** Where a line is edited. Disposed, it hears no more of the terminal's size: a line that is over must not be shown anew. */
export interface Canvas extends Disposable {
  readonly stream: NodeJS.WritableStream;
}

/**
 * The terminal's output for whoever edits lines, written through the sink that everything else is written through: of two
 * writers to one terminal, one would wait for ever once it is full.
 */
export function openCanvas({ output }: LineTerminal, sink: Sink): Canvas {
  const canvas = new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, done) {
      sink.write(chunk, () => done());
    },
  });
  Object.defineProperty(canvas, "columns", { get: () => output.columns });
  Object.defineProperty(canvas, "rows", { get: () => output.rows });
  const resized = () => canvas.emit("resize");
  output.on("resize", resized);
  return { stream: canvas, [Symbol.dispose]: () => void output.off("resize", resized) };
}
