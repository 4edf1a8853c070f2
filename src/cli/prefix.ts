import type { Packet } from "../protocol/packet.ts";
import { LineSplitter } from "./lines.ts";
import type { Shown } from "./render.ts";

/** The line of a stream that has begun, and the packet in which it did. */
interface Begun {
  readonly splitter: LineSplitter;
  packet: Packet | undefined;
}

const NEWLINE = Buffer.from("\n");

/** Shows whole lines of a job, each behind its name, so that those of several never mix within a line. */
export class PrefixRenderer {
  readonly #toPrefix: (packet: Packet, stream: "stdout" | "stderr") => string;
  readonly #begun: Readonly<Record<"stdout" | "stderr", Begun>> = {
    stdout: { splitter: new LineSplitter(), packet: undefined },
    stderr: { splitter: new LineSplitter(), packet: undefined },
  };

  constructor(toPrefix: (packet: Packet, stream: "stdout" | "stderr") => string) {
    this.#toPrefix = toPrefix;
  }

  /** The first packet of which something is held back, undefined if nothing is. */
  get held(): number | undefined {
    const numbers = Object.values(this.#begun).flatMap(({ packet }) => packet?.number ?? []);
    return numbers.length === 0 ? undefined : Math.min(...numbers);
  }

  render = (packet: Packet): readonly Shown[] => {
    if (packet.type === "gap" || packet.type === "closed") return this.rest();
    if (packet.type !== "stdout" && packet.type !== "stderr") return [];
    const { type: stream, bytes } = packet;
    const begun = this.#begun[stream];
    const parts: Uint8Array[] = [];
    for (const { line } of begun.splitter.push(bytes)) {
      parts.push(this.#show(begun.packet ?? packet, stream, line));
      begun.packet = undefined;
    }
    if (begun.splitter.held > 0) begun.packet ??= packet;
    return parts.length === 0 ? [] : [{ stream, bytes: Buffer.concat(parts) }];
  };

  /** What is held back, as lines that end here. */
  rest(): readonly Shown[] {
    return (["stdout", "stderr"] as const).flatMap((stream) => {
      const { splitter, packet } = this.#begun[stream];
      const line = splitter.take();
      this.#begun[stream].packet = undefined;
      if (line === undefined || packet === undefined) return [];
      return [{ stream, bytes: this.#show(packet, stream, line) }];
    });
  }

  /** `packet`: in which the line began. */
  #show(packet: Packet, stream: "stdout" | "stderr", line: Uint8Array): Uint8Array {
    const end = line.at(-1) === NEWLINE[0] ? [] : [NEWLINE];
    return Buffer.concat([Buffer.from(this.#toPrefix(packet, stream)), line, ...end]);
  }
}
