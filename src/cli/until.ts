import { AppError } from "../protocol/error.ts";
import type { Packet } from "../protocol/packet.ts";
import { LineSplitter, toText } from "./lines.ts";
import { toMessage } from "../lib/message.ts";

/** Looks for a line that matches, in both streams of a job. */
export class Until {
  readonly #pattern: RegExp;
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  #matched = false;

  constructor(pattern: RegExp) {
    this.#pattern = pattern;
  }

  get matched(): boolean {
    return this.#matched;
  }

  /** The packet, of one in which a line matches only up to that line's end. A line that nothing ended is looked at last. */
  look(packet: Packet): Packet {
    if (packet.type === "stdout" || packet.type === "stderr") {
      for (const { line, end } of this.#splitters[packet.type].push(packet.bytes)) {
        if (!this.#matches(line)) continue;
        return { ...packet, bytes: packet.bytes.subarray(0, end) };
      }
    } else if (packet.type === "closed") this.finish();
    return packet;
  }

  /** Nothing more comes. */
  finish(): void {
    for (const splitter of Object.values(this.#splitters)) {
      const line = splitter.take();
      if (line !== undefined) this.#matches(line);
    }
  }

  #matches(line: Uint8Array): boolean {
    this.#matched ||= this.#pattern.test(toText(line));
    return this.#matched;
  }
}

/** Reads a regular expression. Throws `invalid_input`. */
export function parsePattern(option: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    const why = toMessage(error);
    throw new AppError("invalid_input", `Cannot use ${option} "${text.slice(0, 200)}": ${why}`);
  }
}
