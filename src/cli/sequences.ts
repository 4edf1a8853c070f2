/** Bytes of a sequence that are held until its end comes: room for a long title or a picture's part. */
const MAX_SEQUENCE_BYTES = 64 * 1024;

const ESC = 0x1b;
const BEL = 0x07;
const BACKSLASH = 0x5c;
/** What cancels a sequence, as a terminal has it. */
const CANCEL = [0x18, 0x1a];
/** The first byte of a control of the second set (U+0080 to U+009F) as UTF-8. */
const C1 = 0xc2;

/** A part of what a program writes to a terminal. What it says of the bytes stands in them too. */
export type Part =
  | { readonly type: "text"; readonly bytes: Uint8Array }
  /** A control of the second set, which no program writes today; it may begin a sequence. */
  | { readonly type: "c1"; readonly bytes: Uint8Array }
  | {
      readonly type: "escape";
      readonly bytes: Uint8Array;
      readonly intermediates: string;
      readonly final: string;
    }
  | Control
  /** OSC, DCS, APC, PM or SOS, by the byte that begins it (`]`, `P`, `_`, `^`, `X`). */
  | { readonly type: "string"; readonly bytes: Uint8Array; readonly begin: string; readonly body: string }
  /** One that was cancelled, or is longer than what is held. */
  | { readonly type: "broken"; readonly bytes: Uint8Array };

/** A control sequence (CSI). */
export interface Control {
  readonly type: "control";
  readonly bytes: Uint8Array;
  /** `?`, `>`, `=`, `<` or nothing. */
  readonly prefix: string;
  readonly params: readonly string[];
  readonly intermediates: string;
  readonly final: string;
}

/** Takes apart what a program writes to a terminal: text, and whole sequences, however they come in pieces. */
export class Sequences {
  #held: number[] = [];

  /** Parts that are whole now. */
  *push(bytes: Uint8Array): Generator<Part, void, void> {
    let text = 0;
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] ?? 0;
      if (this.#held.length === 0 && byte !== ESC && byte !== C1) continue;
      if (this.#held.length === 0 && text < index) yield { type: "text", bytes: bytes.subarray(text, index) };
      while (this.#breaksOff(byte)) yield this.#breakOff();
      text = index + 1;
      if (this.#isApart(byte)) {
        yield { type: "text", bytes: bytes.subarray(index, index + 1) };
        continue;
      }
      this.#held.push(byte);
      const part = this.#findWhole();
      if (part !== undefined) yield part;
    }
    if (this.#held.length === 0 && text < bytes.length) yield { type: "text", bytes: bytes.subarray(text) };
  }

  get #isInString(): boolean {
    const [first, second = 0] = this.#held;
    return first === ESC && "]P_^X".includes(String.fromCharCode(second)) && second !== 0;
  }

  /** Whether this byte ends what is held before its end; of a string, all but the escape that was to end it. */
  #breaksOff(byte: number): boolean {
    if (this.#held.length === 0) return false;
    if (!this.#isInString) return byte === ESC;
    return byte !== BACKSLASH && this.#held.length > 2 && this.#held.at(-1) === ESC;
  }

  /** A control amid a sequence, which takes effect as if it stood before it. */
  #isApart(byte: number): boolean {
    if (this.#held[0] !== ESC || this.#isInString) return false;
    return (byte < 0x20 && byte !== ESC && !CANCEL.includes(byte)) || byte === 0x7f;
  }

  #breakOff(): Part {
    const wasInString = this.#isInString;
    const bytes = this.#take();
    if (wasInString) this.#held = [ESC];
    return { type: "broken", bytes: wasInString ? bytes.subarray(0, -1) : bytes };
  }

  #take(): Uint8Array {
    const bytes = Uint8Array.from(this.#held);
    this.#held = [];
    return bytes;
  }

  #findWhole(): Part | undefined {
    const held = this.#held;
    const last = held.at(-1) ?? 0;
    if (held[0] === C1) {
      if (held.length === 1) return undefined;
      return { type: last >= 0x80 && last < 0xa0 ? "c1" : "text", bytes: this.#take() };
    }
    if (CANCEL.includes(last) || held.length > MAX_SEQUENCE_BYTES)
      return { type: "broken", bytes: this.#take() };
    if (held.length === 1) return undefined;
    if (this.#isInString) return this.#findString(last);
    if (held[1] === 0x5b)
      return held.length > 2 && last >= 0x40 && last <= 0x7e ? this.#toControl() : undefined;
    return last >= 0x30 && last <= 0x7e ? this.#toEscape() : undefined;
  }

  #findString(last: number): Part | undefined {
    const isEnd = last === BEL || (last === BACKSLASH && this.#held.at(-2) === ESC && this.#held.length > 3);
    if (!isEnd) return undefined;
    const bytes = this.#take();
    const body = decode(bytes.subarray(2, bytes.length - (last === BEL ? 1 : 2)));
    return { type: "string", bytes, begin: String.fromCharCode(bytes[1] ?? 0), body };
  }

  #toEscape(): Part {
    const bytes = this.#take();
    const [, intermediates = "", final = ""] = /^([ -/]*)([0-~])$/.exec(decode(bytes.subarray(1))) ?? [];
    return final === "" ? { type: "broken", bytes } : { type: "escape", bytes, intermediates, final };
  }

  #toControl(): Part {
    const bytes = this.#take();
    const [, prefix = "", params = "", intermediates = "", final = ""] =
      /^([<=>?]?)([0-9:;]*)([ -/]*)([@-~])$/.exec(decode(bytes.subarray(2))) ?? [];
    if (final === "") return { type: "broken", bytes };
    return { type: "control", bytes, prefix, params: params.split(";"), intermediates, final };
  }
}

/** Each byte as a character of its own. */
function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
