import { AppError } from "../protocol/error.ts";
import { NO_TOTALS, type Packet, type Totals } from "../protocol/packet.ts";

/** What a reader can never get: packets, and bytes of each stream where it is known what came before. */
export interface Missing {
  readonly packets: number;
  readonly stdoutBytes: number | undefined;
  readonly stderrBytes: number | undefined;
}

/**
 * Counts what came of a job's output, against the numbers of the packets and against what the exit says. This is what
 * the client's promise stands on: no success without every byte.
 */
export class Tally {
  /** The next packet wanted; undefined before the first of the last few. */
  #next: number | undefined;
  /** What the job had said before `next`; undefined where reading began in the middle. */
  #totals: Totals | undefined;
  #missing: Missing | undefined;

  /** `since`: the first packet wanted; undefined for the last few, whose numbers only the server knows. */
  constructor(since: number | undefined) {
    this.#next = since;
    this.#totals = since === 0 ? NO_TOTALS : undefined;
  }

  get next(): number | undefined {
    return this.#next;
  }

  /** What gaps have swallowed so far. */
  get missing(): Missing | undefined {
    return this.#missing;
  }

  /** Takes the next packet. Throws `protocol_error` when it is another, `incomplete_output` when bytes are missing. */
  add(packet: Packet): void {
    if (packet.number !== (this.#next ?? packet.number)) {
      throw new AppError(
        "protocol_error",
        `Cannot read a job's output: packet ${packet.number} came instead of ${this.#next}`,
      );
    }
    switch (packet.type) {
      case "stdout":
      case "stderr":
        this.#count(packet.type, packet.bytes.length);
        break;
      case "gap":
        this.#skip(packet.number, packet.next, packet.totals);
        return;
      case "exit":
        this.#compare(packet.totals);
        break;
      case "closed":
        this.#compare(packet.totals);
    }
    this.skip(packet.number);
  }

  /** A packet of a kind that this version does not know. */
  skip(number: number): void {
    this.#next = number + 1;
    if (this.#totals !== undefined) this.#totals = { ...this.#totals, packets: number + 1 };
  }

  #count(stream: "stdout" | "stderr", bytes: number): void {
    if (this.#totals === undefined) return;
    const key = `${stream}Bytes` as const;
    this.#totals = { ...this.#totals, [key]: this.#totals[key] + bytes };
  }

  #skip(from: number, to: number, totals: Totals): void {
    const lost = (key: "stdoutBytes" | "stderrBytes") => {
      const before = this.#missing === undefined ? 0 : this.#missing[key];
      return this.#totals && before !== undefined ? before + totals[key] - this.#totals[key] : undefined;
    };
    this.#missing = {
      packets: (this.#missing?.packets ?? 0) + to - from,
      stdoutBytes: lost("stdoutBytes"),
      stderrBytes: lost("stderrBytes"),
    };
    this.#next = to;
    this.#totals = totals;
  }

  #compare(said: Totals): void {
    const held = this.#totals;
    if (held === undefined) return;
    if (held.stdoutBytes === said.stdoutBytes && held.stderrBytes === said.stderrBytes) return;
    throw new AppError(
      "incomplete_output",
      `Output is incomplete: ${held.stdoutBytes} bytes of stdout and ${held.stderrBytes} of stderr came, ` +
        `of ${said.stdoutBytes} and ${said.stderrBytes}`,
    );
  }
}
