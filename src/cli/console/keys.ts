import { PassThrough } from "node:stream";
import { StringDecoder } from "node:string_decoder";

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

/**
 * The keys of a terminal, for one reader after another: what comes between two is kept for the next. Long pieces of text are
 * passed on in one go: readline measures the whole line with each key, which for a pasted one of 100 KB takes a minute.
 */
export class Keys {
  readonly #input: NodeJS.ReadStream;
  readonly #decoder = new StringDecoder();
  #reader: KeyReader | undefined;
  #kept = "";
  #isHeld = false;

  constructor(input: NodeJS.ReadStream) {
    this.#input = input;
    // For good: a read that was under way when the stream was paused still brings something.
    input.on("data", (bytes: Buffer) => this.#take(this.#decoder.write(bytes))).pause();
    input.on("end", () => this.#reader?.end());
  }

  /**
   * The terminal as readline needs it. Its keys come by `press`. Where it pauses, keys are kept and the terminal is read on: a
   * terminal that is paused and resumed at once may never be read again.
   */
  createStream(): NodeJS.ReadableStream & Pick<NodeJS.EventEmitter, "emit"> {
    const stream = new PassThrough();
    const hold = (isHeld: boolean) => {
      this.#isHeld = isHeld;
      this.#flush();
      return stream;
    };
    return Object.assign(stream, {
      isTTY: true,
      setRawMode: (isRaw: boolean) => this.#input.setRawMode(isRaw),
      pause: () => hold(true),
      resume: () => hold(false),
    });
  }

  /** Gives keys to this reader until `stop`, first those that nobody has had. */
  read(reader: KeyReader): void {
    this.#reader = reader;
    this.#isHeld = false;
    this.#input.resume();
    this.#flush();
  }

  stop(): void {
    this.#reader = undefined;
    this.#input.pause();
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
    if (this.#reader === undefined || this.#isHeld) this.#kept += piece;
    else if (piece.length >= LONG && !/[\x00-\x1f\x7f]/.test(piece)) this.#reader.paste(piece);
    else this.#reader.press(Buffer.from(piece));
  }
}
