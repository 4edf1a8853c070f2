import type { From } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import { NO_TOTALS, type Packet, type Totals } from "../protocol/packet.ts";

/**
 * What a reader can never get: packets, and values and bytes of each stream where it is known what came before. Where reading began
 * at a value that was gone, only how many of them.
 */
export interface Missing {
  readonly packets: number;
  readonly values: number | undefined;
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
  /** The value at which reading begins, or how many of the last; the server says what was before it. */
  #counting: ValueFrom | undefined;

  constructor(from: From) {
    if (isOfValues(from)) this.#counting = from;
    // Of the last few only the server knows the numbers.
    else if (from.type === "since") this.#next = from.number;
    this.#totals = this.#next === 0 ? NO_TOTALS : undefined;
  }

  get next(): number | undefined {
    return this.#next;
  }

  /** How many values the job had said before `next`; undefined as `totals`. */
  get values(): number | undefined {
    return this.#totals?.values;
  }

  /** What gaps have swallowed so far. */
  get missing(): Missing | undefined {
    return this.#missing;
  }

  /**
   * Takes the next packet. Throws `protocol_error` when it is another, `incomplete_output` when bytes or values are missing, and
   * `unsupported_version` where values are to be counted by a server that cannot.
   */
  add(packet: Packet): void {
    this.#expect(packet.number);
    if (this.#counting !== undefined) return this.#begin(packet, this.#counting);
    switch (packet.type) {
      case "value":
        return this.skip(packet.number, 1);
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

  /** A packet that nobody is told of; `values`: how many values end with it. Throws `protocol_error` as `add` does. */
  skip(number: number, values = 0): void {
    this.#expect(number);
    this.#next = number + 1;
    const before = this.#totals;
    if (before !== undefined)
      this.#totals = { ...before, packets: number + 1, values: before.values + values };
  }

  #expect(number: number): void {
    if (number === (this.#next ?? number)) return;
    throw new AppError(
      "protocol_error",
      `Cannot read a job's output: packet ${number} came instead of ${this.#next}`,
    );
  }

  #begin(packet: Packet, from: ValueFrom): void {
    if (packet.type !== "gap" || packet.next !== packet.number)
      throw new AppError(
        "unsupported_version",
        "Cannot count values: the server is of a version that cannot",
      );
    this.#counting = undefined;
    this.#next = packet.next;
    this.#totals = packet.totals;
    const values = from.type === "since" ? packet.totals.values - from.number : 0;
    if (values > 0) this.#missing = { packets: 0, values, stdoutBytes: undefined, stderrBytes: undefined };
  }

  #count(stream: "stdout" | "stderr", bytes: number): void {
    if (this.#totals === undefined) return;
    const key = `${stream}Bytes` as const;
    this.#totals = { ...this.#totals, [key]: this.#totals[key] + bytes };
  }

  #skip(from: number, to: number, totals: Totals): void {
    const lost = (key: "values" | "stdoutBytes" | "stderrBytes") => {
      const before = this.#missing === undefined ? 0 : this.#missing[key];
      return this.#totals && before !== undefined ? before + totals[key] - this.#totals[key] : undefined;
    };
    this.#missing = {
      packets: (this.#missing?.packets ?? 0) + to - from,
      values: lost("values"),
      stdoutBytes: lost("stdoutBytes"),
      stderrBytes: lost("stderrBytes"),
    };
    this.#next = to;
    this.#totals = totals;
  }

  #compare(said: Totals): void {
    const held = this.#totals;
    if (held === undefined) return;
    const { stdoutBytes, stderrBytes, values } = held;
    if (stdoutBytes !== said.stdoutBytes || stderrBytes !== said.stderrBytes)
      throw toIncomplete(
        `${stdoutBytes} bytes of stdout and ${stderrBytes} of stderr came, ` +
          `of ${said.stdoutBytes} and ${said.stderrBytes}`,
      );
    if (values !== said.values) throw toIncomplete(`${values} values came, of ${said.values}`);
  }
}

function toIncomplete(what: string): AppError {
  return new AppError("incomplete_output", `Output is incomplete: ${what}`);
}

type ValueFrom = From & { readonly unit?: "values" | undefined };

function isOfValues(from: From): from is ValueFrom {
  return from.unit === "values";
}
