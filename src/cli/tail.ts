import type { Output } from "../client/output.ts";
import { abortable } from "../lib/abort.ts";
import type { From } from "../protocol/control.ts";
import type { JobId } from "../protocol/id.ts";
import type { Packet } from "../protocol/packet.ts";

/** Packets that are looked at first, and how many times as many the next time. */
const FIRST_LOOK = 64;
const GROWTH = 8;

const NEWLINE = 0x0a;

/** The beginning of a line: the stream it is of, and the packet and the byte in it with which it begins. */
interface Start {
  readonly stream: "stdout" | "stderr";
  readonly packet: number;
  readonly offset: number;
}

/** Where the last lines begin: the first packet to read, and what of each stream is to be seen. */
export interface Tail {
  readonly since: number;
  /** The packet without what is before those lines. */
  readonly trim: (packet: Packet) => Packet;
}

/** What opens a job's output, as a session does. */
export interface Source {
  openOutput(job: JobId, from: From): Pick<Output, typeof Symbol.asyncIterator | "consumed" | "close">;
}

/** What is recorded of a job at a moment: packets before `next`. */
export interface Recorded {
  readonly job: JobId;
  readonly next: number;
  /** The packets as which one is shown (default: as it is). */
  readonly toTexts?: (packet: Packet) => readonly Packet[];
}

/**
 * Finds the last so many lines of what a job has recorded, of both streams together, in the order in which they begin. It
 * looks at few of the last packets first, and at more until it is certain.
 */
export async function findTail(
  source: Source,
  recorded: Recorded,
  lines: number,
  signal: AbortSignal,
): Promise<Tail> {
  const { next } = recorded;
  if (lines === 0 || next === 0) return toTail([], next);
  for (let count = FIRST_LOOK; ; count *= GROWTH) {
    const since = Math.max(0, next - count);
    const look = new Look(since === 0, lines);
    await abortable(read(source, recorded, since, look), signal);
    if (look.isCertain) return toTail(look.starts, next);
    // Fewer than wanted in all that there is: what is missing before them is told too.
    if (since === 0) return look.isCut ? toTail([], 0, 0) : toTail(look.starts, next, 0);
  }
}

async function read(
  source: Source,
  { job, next, toTexts = (packet) => [packet] }: Recorded,
  since: number,
  look: Look,
): Promise<void> {
  const output = source.openOutput(job, { type: "since", number: since });
  try {
    for await (const packet of output) {
      if (packet.number < next) toTexts(packet).forEach((text) => look.take(text));
      output.consumed(packet);
      if (packet.number >= next - 1 || (packet.type === "gap" && packet.next >= next)) return;
    }
  } finally {
    output.close();
  }
}

/** Finds where lines begin, and whether the last of them are certain to be the last. */
class Look {
  readonly #wanted: number;
  readonly #starts: Start[] = [];
  /** Whether the next byte of a stream begins a line; undefined where what came before it was not seen. */
  readonly #begins: Record<"stdout" | "stderr", boolean | undefined>;
  /** Lines that began after everything that is uncertain. */
  #certain = 0;
  #isCut = false;

  constructor(isWhole: boolean, wanted: number) {
    this.#wanted = wanted;
    this.#begins = isWhole ? { stdout: true, stderr: true } : { stdout: undefined, stderr: undefined };
  }

  get isCertain(): boolean {
    return this.#certain >= this.#wanted;
  }

  /** Whether something is gone from what was looked at. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Of the last lines, in order. */
  get starts(): readonly Start[] {
    return this.#starts.slice(-this.#wanted);
  }

  take(packet: Packet): void {
    if (packet.type === "gap") {
      this.#isCut = true;
      this.#begins.stdout = this.#begins.stderr = true;
    } else if (packet.type === "stdout" || packet.type === "stderr") {
      this.#scan(packet.type, packet.number, packet.bytes);
    }
  }

  #scan(stream: Start["stream"], packet: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.#begins[stream] === undefined) this.#certain = 0;
    if (this.#begins[stream] === true) this.#begin({ stream, packet, offset: 0 });
    for (let newline = bytes.indexOf(NEWLINE); newline >= 0; newline = bytes.indexOf(NEWLINE, newline + 1))
      if (newline + 1 < bytes.length) this.#begin({ stream, packet, offset: newline + 1 });
    this.#begins[stream] = bytes.at(-1) === NEWLINE;
  }

  #begin(start: Start): void {
    this.#certain++;
    this.#starts.push(start);
    if (this.#starts.length >= 2 * this.#wanted + FIRST_LOOK)
      this.#starts.splice(0, this.#starts.length - this.#wanted);
  }
}

/** `next`: from where on everything is seen of a stream of which no line is among the last. */
function toTail(starts: readonly Start[], next: number, since = starts[0]?.packet ?? next): Tail {
  const find = (stream: Start["stream"]) =>
    starts.find((start) => start.stream === stream) ?? { packet: next, offset: 0 };
  const first = { stdout: find("stdout"), stderr: find("stderr") };
  return {
    since,
    trim(packet) {
      if (packet.type !== "stdout" && packet.type !== "stderr") return packet;
      const { packet: from, offset } = first[packet.type];
      if (packet.number > from) return packet;
      return { ...packet, bytes: packet.bytes.subarray(packet.number < from ? packet.bytes.length : offset) };
    },
  };
}
