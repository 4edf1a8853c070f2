import { Writable } from "node:stream";
import type { LineTerminal } from "../context.ts";
import type { Sink } from "../sink.ts";

/**
 * The terminal's output for whoever edits lines, written through the sink that everything else is written through: of two
 * writers to one terminal, one would wait for ever once it is full.
 */
export function createCanvas({ output }: LineTerminal, sink: Sink): NodeJS.WritableStream {
  const canvas = new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, done) {
      sink.write(chunk, () => done());
    },
  });
  Object.defineProperty(canvas, "columns", { get: () => output.columns });
  Object.defineProperty(canvas, "rows", { get: () => output.rows });
  output.on("resize", () => canvas.emit("resize"));
  return canvas;
}
