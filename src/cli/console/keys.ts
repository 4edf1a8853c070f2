import { PassThrough } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { turn } from "../../lib/abort.ts";
import type { Keyboard } from "../raw-mode.ts";

/** Characters that are pasted rather than typed. */
const LONG = 64;

/** Who reads keys at the moment. */
export interface KeyReader {
  /** Takes keys as readline has them. */
  readonly press: (keys: Buffer) => void;
  /** Takes a long piece of text in one go. */
  readonly paste: (text: string) => void;
  /** The terminal is gone. */
  readonly end: () => void;
}

const INTERRUPT = "\x03";

/**
 * The keys of a terminal, for one reader after another: what comes between two is kept for the next, apart from Ctrl-C. The
 * terminal is raw from the first reader on, and read without a pause: one that is paused and resumed at once may, with Bun
 * 1.4.5, never be read again. Long pieces of text are passed on in one go: readline measures the whole line with each key,
 * which for a pasted one of 100 KB takes a minute.
 */
export class Keys implements Disposable {
  readonly #input: NodeJS.ReadStream;
  readonly #onInterrupt: () => void;
  readonly #decoder = new StringDecoder();
  #reader: KeyReader | undefined;
  /** Who has every byte as it comes, instead of readers. */
  #borrower: ((bytes: Uint8Array) => void) | undefined;
  #kept = "";
  #isHeld = false;

  /** `onInterrupt`: called with each Ctrl-C that comes while nobody reads. */
  constructor(input: NodeJS.ReadStream, onInterrupt: () => void) {
    this.#input = input;
    this.#onInterrupt = onInterrupt;
    input.setRawMode(true);
    input.on("data", (bytes: Buffer) => {
      if (this.#borrower !== undefined) this.#borrower(bytes);
      else this.#take(this.#decoder.write(bytes));
    });
    input.on("end", () => this.#reader?.end());
  }

  /** The terminal as readline needs it, whose keys come by `press`. */
  createStream(): NodeJS.ReadableStream & Pick<NodeJS.EventEmitter, "emit"> {
    const stream = new PassThrough();
    const hold = () => {
      this.#isHeld = true;
      return stream;
    };
    // Not at once: readline resumes before it has written what it was completing.
    const release = () => {
      turn().then(() => {
        this.#isHeld = false;
        this.#flush();
      });
      return stream;
    };
    return Object.assign(stream, {
      isTTY: true,
      setRawMode: () => stream,
      pause: hold,
      resume: release,
    });
  }

  /** Gives keys to this reader until `stop`, first those that nobody has had. */
  read(reader: KeyReader): void {
    this.#reader = reader;
    this.#isHeld = false;
    this.#flush();
  }

  stop(): void {
    this.#reader = undefined;
  }

  /** Gives every byte to another, Ctrl-C included, until disposed; first what nobody has had, and last what it left, to readers. */
  lend(take: (bytes: Uint8Array) => void): Keyboard {
    const waiting = this.#kept === "" ? [] : [Buffer.from(this.#kept)];
    this.#kept = "";
    let isPaused = false;
    // As above, not by pausing the terminal.
    this.#borrower = (bytes) => void (isPaused ? waiting.push(Buffer.from(bytes)) : take(bytes));
    const resume = () => {
      isPaused = false;
      while (!isPaused && waiting.length > 0) take(waiting.shift() ?? Buffer.alloc(0));
    };
    // Once our caller has what we answer, and before anything else is read.
    queueMicrotask(() => isPaused || resume());
    return {
      pause: () => void (isPaused = true),
      resume,
      [Symbol.dispose]: () => {
        this.#borrower = undefined;
        for (const bytes of waiting.splice(0)) this.#take(this.#decoder.write(bytes));
      },
    };
  }

  /** Leaves the terminal in its own modes, until disposed. */
  relax(): Disposable {
    this.#input.setRawMode(false);
    return { [Symbol.dispose]: () => void this.#input.setRawMode(true) };
  }

  /** Forgets keys that nobody has had. */
  drop(): void {
    this.#kept = "";
  }

  /** Leaves the terminal as it was. */
  [Symbol.dispose](): void {
    this.#input.removeAllListeners("data").pause();
    try {
      this.#input.setRawMode(false);
    } catch {
      // It is gone.
    }
  }

  #flush(): void {
    const kept = this.#kept;
    this.#kept = "";
    this.#take(kept);
  }

  #take(text: string): void {
    // Between escape sequences, nothing is cut.
    const pieces = text.includes("\x1b") ? [text] : text.split(/([^\x00-\x1f\x7f]+)/);
    for (const piece of pieces) this.#pass(piece);
  }

  #pass(piece: string): void {
    if (piece === "") return;
    if (this.#reader === undefined) this.#keep(piece);
    else if (this.#isHeld) this.#kept += piece;
    else if (piece.length >= LONG && !/[\x00-\x1f\x7f]/.test(piece)) this.#reader.paste(piece);
    else this.#reader.press(Buffer.from(piece));
  }

  #keep(piece: string): void {
    const last = piece.lastIndexOf(INTERRUPT);
    if (last < 0) {
      this.#kept += piece;
      return;
    }
    this.#kept = piece.slice(last + 1);
    this.#onInterrupt();
  }
}
