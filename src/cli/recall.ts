import type { Readable } from "../client/output.ts";
import { delay } from "../lib/abort.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Terminal, TerminalSize } from "../protocol/terminal.ts";
import { toRead } from "./mapped.ts";
import { Screen } from "./screen.ts";

/** Milliseconds that a program has to paint itself anew for a size that it is given for that alone. */
const REPAINT = 100;
/** Milliseconds within which a new size must be in force; a keeper of an older version knows none. */
const PATIENCE = 3_000;

/** The number of a packet that is none of the job's: that it was consumed means nothing. */
const PAINTED = -1;

export interface RecallOptions {
  readonly output: Readable;
  /** The job's terminal at its start. */
  readonly terminal: Terminal;
  /** The packet that the job was to write next, before its output was opened: what is before that is past. */
  readonly next: number;
  /** The size that the terminal is to have; undefined leaves it. */
  readonly size: TerminalSize | undefined;
  /** Gives the job's terminal a size. */
  readonly resize: (size: TerminalSize) => void;
  readonly signal: AbortSignal;
}

/** What stands on a job's terminal, and what comes after it. */
interface Recalled {
  /** What brings a terminal of the same size into the same state. */
  readonly painting: string;
  /** Packets that are not in the painting. */
  readonly rest: AsyncGenerator<Packet, void, void>;
}

/**
 * The output of a job as somebody reads it who comes back to its terminal: first what paints all that stands there, then
 * what is written from now on. What is missing of the past is no loss to him.
 */
export function toRecalled(options: RecallOptions): Readable {
  const { output } = options;
  const read = async function* () {
    const { painting, rest } = await recall(options);
    yield { type: "stdout", number: PAINTED, at: 0, bytes: new TextEncoder().encode(painting) } as const;
    yield* rest;
  };
  return toRead(output, read, { isPartial: true });
}

/**
 * Plays the end of a job's record on a screen that nobody looks at, gives the terminal its new size, and follows until that
 * is in force: whoever is shown the painting then is where the program believes its terminal to be. What has ended stays as
 * it is.
 */
async function recall(options: RecallOptions): Promise<Recalled> {
  using screen = await Screen.open(options.terminal);
  const reading = new Reading(options.output, screen);
  await reading.readTo(options.next, options.signal);
  if (options.size !== undefined && !reading.isOver)
    await adopt(reading, screen, { ...options, size: options.size });
  return { painting: screen.paint(), rest: reading.rest() };
}

/** A program that paints only what changes would leave holes: for a row more and back again it paints everything. */
async function adopt(
  reading: Reading,
  screen: Screen,
  { size, resize, signal }: RecallOptions & { readonly size: TerminalSize },
): Promise<void> {
  const isSame = screen.size.columns === size.columns && screen.size.rows === size.rows;
  if (isSame && !reading.isWhole) {
    const larger = { columns: size.columns, rows: size.rows + 1 };
    resize(larger);
    await reading.readUntil((packet) => isResize(packet, larger), PATIENCE, signal);
    await reading.readUntil(() => false, REPAINT, signal);
  }
  resize(size);
  await reading.readUntil((packet) => isResize(packet, size), PATIENCE, signal);
  screen.resize(size);
}

function isResize(packet: Packet, { columns, rows }: TerminalSize): boolean {
  return packet.type === "resize" && packet.columns === columns && packet.rows === rows;
}

/** A job's output on its way to a screen. */
class Reading {
  readonly #output: Readable;
  readonly #screen: Screen;
  readonly #packets: AsyncIterator<Packet, void, void>;
  /** What was asked for and has not come. */
  #pending: Promise<IteratorResult<Packet, void>> | undefined;
  /** Packets that are for whoever comes next. */
  readonly #kept: Packet[] = [];
  #isWhole = true;
  #number = -1;
  #isOver = false;

  constructor(output: Readable, screen: Screen) {
    this.#output = output;
    this.#screen = screen;
    this.#packets = output[Symbol.asyncIterator]();
  }

  /** Whether everything was seen that the program ever wrote. */
  get isWhole(): boolean {
    return this.#isWhole && this.#screen.isSound;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Takes what is before a packet. */
  async readTo(next: number, signal: AbortSignal): Promise<void> {
    if (next > 0) await this.readUntil((packet) => toNext(packet) >= next, Number.POSITIVE_INFINITY, signal);
  }

  /** Takes packets up to one for which that holds, or for so many milliseconds, or to the exit. */
  async readUntil(isLast: (packet: Packet) => boolean, ms: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const isLate = delay(ms, AbortSignal.any([signal, late.signal]));
    isLate.catch(() => {}); // not waited for any more
    try {
      while (!this.#isOver) {
        this.#pending ??= this.#packets.next();
        const came = await Promise.race([this.#pending, isLate]);
        if (came === undefined) return;
        this.#pending = undefined;
        if (came.done === true) return void (this.#isOver = true);
        this.#take(came.value);
        if (isLast(came.value)) return;
      }
    } finally {
      late.abort();
    }
  }

  async *rest(): AsyncGenerator<Packet, void, void> {
    yield* this.#kept;
    for (;;) {
      const came = await (this.#pending ?? this.#packets.next());
      this.#pending = undefined;
      if (came.done === true) return;
      yield came.value;
    }
  }

  #take(packet: Packet): void {
    if (this.#number < 0 && packet.number > 0) this.#isWhole = false;
    this.#number = packet.number;
    switch (packet.type) {
      case "stdout":
        this.#screen.write(packet.bytes);
        break;
      case "resize":
        this.#screen.resize(packet);
        break;
      case "gap":
        this.#screen.interrupt();
        break;
      case "exit":
      case "closed":
        this.#isOver = true;
        return void this.#kept.push(packet);
    }
    this.#output.consumed(packet);
  }
}

function toNext(packet: Packet): number {
  return packet.type === "gap" ? packet.next : packet.number + 1;
}
