import { PassThrough } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** Characters that are pasted rather than typed. */
const LONG = 64;

/** Keys of a terminal for readline. */
export interface Keys {
  readonly stream: NodeJS.ReadableStream;
  /** Takes no more from the terminal. */
  readonly stop: () => void;
}

/**
 * Passes a terminal's input on to readline, and long pieces of text in one go: readline looks at the whole line again with
 * each key, which for a pasted one of 100 KB takes a minute.
 */
export function openKeys(input: NodeJS.ReadStream, paste: (text: string) => void): Keys {
  const decoder = new StringDecoder();
  const stream = new PassThrough();
  const take = (bytes: Buffer) => {
    const text = decoder.write(bytes);
    const pieces = text.includes("\x1b") ? [text] : text.split(/([^\x00-\x1f\x7f]+)/);
    for (const piece of pieces)
      if (piece.length >= LONG && !/[\x00-\x1f\x7f]/.test(piece)) paste(piece);
      else if (piece !== "") stream.emit("data", Buffer.from(piece));
  };
  const end = () => stream.emit("end");
  input.on("data", take).on("end", end);
  Object.assign(stream, {
    isTTY: true,
    setRawMode: (isRaw: boolean) => input.setRawMode(isRaw),
    pause: () => input.pause(),
    resume: () => input.resume(),
  });
  return { stream, stop: () => void input.off("data", take).off("end", end) };
}
