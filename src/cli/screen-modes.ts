const ESC = 0x1b;

/** What ends a sequence of the kind that modes are set by, and what is longer than any that matters. */
const FINAL = { first: 0x40, last: 0x7e };
const MAX_SEQUENCE = 64;

/** Private modes that are on unless a program turns them off: wrapping, and the cursor. */
const ON_AT_FIRST = ["7", "25"];
/** Those that show another screen. They are left last, so that what the others did is not seen on it. */
const SCREENS = ["47", "1047", "1049"];

/**
 * Watches what a program writes to a terminal for the modes that it turns on there: another screen, mouse, pasting in
 * brackets, a hidden cursor. Whoever leaves it amid them can turn them off. How the bytes are cut makes no difference.
 */
export class ScreenModes {
  /** The last said of each private mode. */
  readonly #modes = new Map<string, boolean>();
  #hasKeypad = false;
  #hasMargins = false;
  #hasModifiers = false;
  /** What came of a sequence so far, without its ESC; undefined outside of one. */
  #sequence: string | undefined;

  watch(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) {
      if (this.#sequence === undefined) {
        index = bytes.indexOf(ESC, index);
        if (index < 0) return;
        this.#sequence = "";
      } else this.#take(bytes[index] as number);
    }
  }

  /** What brings the terminal back to how terminals are; nothing if nothing was changed. */
  toReset(): string {
    const changed = [...this.#modes].filter(([mode, isOn]) => isOn !== ON_AT_FIRST.includes(mode));
    const isScreen = ([mode]: readonly [string, boolean]) => SCREENS.includes(mode);
    const undo = ([mode, isOn]: readonly [string, boolean]) => `\x1b[?${mode}${isOn ? "l" : "h"}`;
    return [
      ...(this.#hasModifiers ? ["\x1b[>4m"] : []),
      ...(this.#hasKeypad ? ["\x1b>"] : []),
      ...(this.#hasMargins ? ["\x1b7\x1b[r\x1b8"] : []),
      ...changed.filter((mode) => !isScreen(mode)).map(undo),
      ...changed.filter(isScreen).map(undo),
      ...(this.#modes.size > 0 ? ["\x1b[0m"] : []),
    ].join("");
  }

  #take(byte: number): void {
    if (byte === ESC) {
      this.#sequence = "";
      return;
    }
    const sequence = `${this.#sequence}${String.fromCharCode(byte)}`;
    const isBegun = sequence === "[" || (sequence.startsWith("[") && !isFinal(byte));
    this.#sequence = isBegun && sequence.length < MAX_SEQUENCE ? sequence : undefined;
    if (!isBegun) this.#obey(sequence);
  }

  #obey(sequence: string): void {
    const [, modes, verb] = /^\[\?([\d;]+)([hl])$/.exec(sequence) ?? [];
    if (modes !== undefined) for (const mode of modes.split(";")) this.#modes.set(mode, verb === "h");
    else if (/^[=>]$/.test(sequence)) this.#hasKeypad = sequence === "=";
    else if (/^\[[\d;]*r$/.test(sequence)) this.#hasMargins = /\d/.test(sequence);
    else if (/^\[>4(;\d*)?m$/.test(sequence)) this.#hasModifiers = /;[1-9]/.test(sequence);
    else if (sequence === "c") this.#forget();
  }

  #forget(): void {
    this.#modes.clear();
    this.#hasKeypad = this.#hasMargins = this.#hasModifiers = false;
  }
}

function isFinal(byte: number): boolean {
  return byte >= FINAL.first && byte <= FINAL.last;
}
