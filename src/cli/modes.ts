import type { Terminal } from "@xterm/headless";

/**
 * Modes that a program leaves a terminal in, but for those that move the cursor or change the whole screen: cursor keys,
 * reverse screen, wrapping, mouse and how it is told, a blinking or hidden cursor, keypad, focus, wheel, pasting, colours.
 */
const PRIVATE = [
  1, 5, 7, 9, 12, 25, 45, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004, 2031,
];
const ON_AT_FIRST: readonly Mode[] = ["?7", "?25"];
const ORIGIN = 6;
const INSERT = 4;
const KEYPAD = "?66";
/** Keyboard protocols that programs have entered one within the other; terminals keep no more either. */
const MAX_KEYBOARDS = 16;

type Mode = `${"?" | ""}${number}`;
type Parser = Terminal["parser"];

/** Modes that the program has set or reset, and what it has told the terminal of keys, charsets and the cursor's shape. */
export class Modes {
  /** In the order in which they were set last: of mouse modes the last one counts. */
  readonly #modes = new Map<Mode, boolean>();
  /** G0 and G1, by what designates them. */
  readonly #charsets = new Map<string, string>();
  /** Sequences of which the last counts, by what they are about. */
  readonly #settings = new Map<string, string>();
  #keyboards: number[] = [];
  #isOrigin = false;

  /** Looks on while a terminal is written to, and changes nothing of that. */
  watch({ parser }: Terminal): void {
    this.#watchModes(parser);
    this.#watchKeys(parser);
    this.#watchCharsets(parser);
    onEscape(parser, { final: "c" }, () => this.#reset(() => true));
    onControl(parser, { intermediates: "!", final: "p" }, () => this.#reset((mode) => !isOfInput(mode)));
  }

  /** Whether rows are counted from the top of the scrolling region. */
  get isOrigin(): boolean {
    return this.#isOrigin;
  }

  /** What brings a terminal into the same modes, where nothing moves the cursor. */
  paint(): string {
    const keyboard = this.#keyboards.at(-1);
    return [
      ...[...this.#modes].map(toSequence),
      ...this.#settings.values(),
      keyboard === undefined ? "" : `\x1b[>${keyboard}u`,
      ...[...this.#charsets].map(([set, final]) => `\x1b${set}${final}`),
    ].join("");
  }

  #watchModes(parser: Parser): void {
    for (const [final, isOn] of [
      ["h", true],
      ["l", false],
    ] as const) {
      onControl(parser, { prefix: "?", final }, (params) => {
        if (params.includes(ORIGIN)) this.#isOrigin = isOn;
        for (const mode of params) if (PRIVATE.includes(mode)) this.#note(`?${mode}`, isOn);
      });
      onControl(parser, { final }, (params) => {
        if (params.includes(INSERT)) this.#note(`${INSERT}`, isOn);
      });
    }
    onEscape(parser, { final: "=" }, () => this.#note(KEYPAD, true));
    onEscape(parser, { final: ">" }, () => this.#note(KEYPAD, false));
  }

  #watchKeys(parser: Parser): void {
    onControl(parser, { intermediates: " ", final: "q" }, ([shape = 0]) => {
      this.#settings.set("shape", `\x1b[${shape} q`);
    });
    onControl(parser, { prefix: ">", final: "m" }, (params) => {
      this.#settings.set(`keys ${params[0]}`, `\x1b[>${params.join(";")}m`);
    });
    onControl(parser, { prefix: ">", final: "u" }, ([flags = 0]) => {
      this.#keyboards = [...this.#keyboards, flags].slice(-MAX_KEYBOARDS);
    });
    onControl(parser, { prefix: "<", final: "u" }, ([count = 1]) => {
      this.#keyboards.splice(-Math.max(1, count));
    });
  }

  #watchCharsets(parser: Parser): void {
    for (const intermediates of ["(", ")"])
      for (const final of ["0", "A", "B"])
        onEscape(parser, { intermediates, final }, () => this.#charsets.set(intermediates, final));
  }

  #note(mode: Mode, isOn: boolean): void {
    this.#modes.delete(mode);
    this.#modes.set(mode, isOn);
  }

  #reset(isMeant: (mode: Mode) => boolean): void {
    for (const mode of this.#modes.keys())
      if (isMeant(mode)) this.#modes.set(mode, ON_AT_FIRST.includes(mode));
    this.#charsets.clear();
    this.#settings.clear();
    this.#keyboards = [];
    this.#isOrigin = false;
  }
}

/** The keypad's has a sequence of its own, which more terminals know. */
function toSequence([mode, isOn]: readonly [Mode, boolean]): string {
  if (mode === KEYPAD) return isOn ? "\x1b=" : "\x1b>";
  return `\x1b[${mode}${isOn ? "h" : "l"}`;
}

/** Mouse, focus and pasting, which a soft reset leaves as they are. */
function isOfInput(mode: Mode): boolean {
  return mode === "?9" || /^\?\d{4}$/.test(mode);
}

function onControl(
  parser: Parser,
  id: Parameters<Parser["registerCsiHandler"]>[0],
  take: (params: readonly number[]) => void,
): void {
  parser.registerCsiHandler(id, (params) => {
    take(params.flatMap((param) => (typeof param === "number" ? [param] : [])));
    return false; // so that the terminal does what it says
  });
}

function onEscape(parser: Parser, id: Parameters<Parser["registerEscHandler"]>[0], take: () => void): void {
  parser.registerEscHandler(id, () => {
    take();
    return false;
  });
}
