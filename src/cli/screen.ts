import type { IUnicodeVersionProvider, Terminal } from "@xterm/headless";
import { toWidth } from "../lib/width.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import { Modes } from "./modes.ts";
import { moveTo, paintCursor, paintRows } from "./painting.ts";
import { toStyle } from "./style.ts";

/** What to begin on: the normal screen with nothing on it, and everything at its default that painting depends on. */
const CLEAN = "\x1b[?1049l\x1b[?6l\x1b[?7h\x1b[4l\x1b[r\x1b(B\x1b)B\x0f\x1b[m\x1b[H\x1b[2J";
const ALTERNATE = "\x1b[m\x1b[?1049h\x1b[H\x1b[2J";

/** What the emulator does as many times as it is told, and how many times are more than any screen has room for. */
const REPEATED = ["I", "L", "M", "S", "T", "Z", "b"];
const MAX_TIMES = 10_000;

/** How something is written that is written now. */
interface Pen {
  readonly style: string;
  /** Whether lines are written instead of letters. */
  readonly isGraphic: boolean;
  /** What chooses between the two charsets. */
  readonly shift: "\x0f" | "\x0e";
}

/** Where lines scroll, counted from 0. */
interface Region {
  readonly top: number;
  readonly bottom: number;
}

/** What the emulator keeps to itself: writing that takes effect at once, and whose failures its caller hears of. */
interface Core {
  readonly _core: { writeSync(written: Uint8Array | string): void };
}

/**
 * A terminal that nobody looks at. It is fed with what a program wrote, and answers no question in that. Then it tells what
 * brings another terminal to the same state: cells with their attributes, cursor, both screens, scrolling region, modes,
 * title; but not links, colours of the palette, tab stops, and what has scrolled out.
 */
export class Screen implements Disposable {
  readonly #create: (size: TerminalSize) => Terminal;
  readonly #modes = new Modes();
  #terminal: Terminal;
  #title: string | undefined;
  #answer = "";
  #isSound = true;

  private constructor(create: (size: TerminalSize) => Terminal, size: TerminalSize) {
    this.#create = create;
    this.#terminal = this.#begin(size);
  }

  /** The emulator is large: it is loaded no earlier than somebody wants a screen. */
  static async open(size: TerminalSize): Promise<Screen> {
    const { Terminal } = await import("@xterm/headless");
    const widths = createWidths();
    const create = ({ columns, rows }: TerminalSize) => {
      const terminal = new Terminal({ cols: columns, rows, allowProposedApi: true, logLevel: "off" });
      terminal.unicode.register(widths);
      terminal.unicode.activeVersion = widths.version;
      return terminal;
    };
    return new Screen(create, size);
  }

  get size(): TerminalSize {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** Whether the emulator has understood everything, as far as it knows. */
  get isSound(): boolean {
    return this.#isSound;
  }

  /** Takes what a program wrote. */
  write(written: Uint8Array | string): void {
    try {
      (this.#terminal as Terminal & Core)._core.writeSync(written);
    } catch {
      this.#recover(); // some sequences that make no sense are too much for it
    }
  }

  /** Takes a new size, for what is written from now on. */
  resize({ columns, rows }: TerminalSize): void {
    this.#terminal.resize(columns, rows);
  }

  /** Something is missing here: a sequence whose beginning came will have no end. */
  interrupt(): void {
    this.write("\x18");
    this.#isSound = false;
  }

  /** What brings a terminal of the same size to the state of this one, whatever state that is in. */
  paint(): string {
    const region = this.#findRegion();
    const screens = this.#paintScreens();
    const rest = [this.#paintRegion(region), this.#paintCursor(region), this.#modes.paint()];
    const title = this.#title === undefined ? "" : `\x1b]2;${this.#title}\x07`;
    // Only writing tells how something would be written. What that spoils here is repaired by our own means.
    const pen = this.#tryPen();
    const saved = this.#paintSaved();
    const painting = [screens, saved, ...rest, pen.shift, pen.style, title].join("");
    this.#terminal.reset();
    this.write(painting);
    return painting;
  }

  [Symbol.dispose](): void {
    this.#terminal.dispose();
  }

  #begin(size: TerminalSize): Terminal {
    const terminal = this.#create(size);
    for (const final of REPEATED)
      terminal.parser.registerCsiHandler({ final }, ([times = 1]) => Number(times) > MAX_TIMES);
    this.#modes.watch(terminal);
    terminal.onTitleChange((title) => (this.#title = title.replace(/[\x00-\x1f\x7f-\x9f]/g, "")));
    terminal.onData((answer) => (this.#answer = answer));
    return terminal;
  }

  /** Goes on with another emulator, which shows what this one does. */
  #recover(): void {
    this.#isSound = false;
    const before = this.#terminal;
    const painting = this.#paintScreens() + paintCursor(before.buffer.active, this.size.columns, 0);
    this.#terminal = this.#begin(this.size);
    this.write(painting);
    before.dispose();
  }

  #paintScreens(): string {
    const { normal, alternate, active } = this.#terminal.buffer;
    const first = CLEAN + paintRows(normal, this.size);
    if (active.type === "normal") return first;
    return `${first}${paintCursor(normal, this.size.columns, 0)}${ALTERNATE}${paintRows(alternate, this.size)}`;
  }

  #paintRegion({ top, bottom }: Region): string {
    const isWhole = top === 0 && bottom === this.size.rows - 1;
    return (isWhole ? "" : `\x1b[${top + 1};${bottom + 1}r`) + (this.#modes.isOrigin ? "\x1b[?6h" : "");
  }

  #paintCursor({ top }: Region): string {
    const { active } = this.#terminal.buffer;
    return paintCursor(active, this.size.columns, this.#modes.isOrigin ? top : 0);
  }

  /** The cursor that the program has put aside, unless that is as at first. Writes over the screen. */
  #paintSaved(): string {
    this.write("\x1b8");
    const { cursorY, cursorX } = this.#terminal.buffer.active;
    const { style, isGraphic } = this.#tryPen();
    const isFirst = cursorY === 0 && cursorX === 0 && style === "\x1b[0m" && !isGraphic;
    const charset = isGraphic ? "\x1b(0" : "";
    return isFirst ? "" : `${moveTo(cursorY, cursorX)}${style}${charset}\x1b7\x1b(B`;
  }

  #tryPen(): Pen {
    this.write("\x1b[?6l\x1b[4l\x1b[Hq\x1b(0\x1b)Bq");
    const { active } = this.#terminal.buffer;
    const [first, second] = [0, 1].map((column) => active.getLine(active.baseY)?.getCell(column));
    return {
      style: first === undefined ? "" : toStyle(first),
      isGraphic: first?.getChars() !== "q",
      shift: second?.getChars() === "q" ? "\x0e" : "\x0f",
    };
  }

  #findRegion(): Region {
    this.write("\x1bP$qr\x1b\\");
    const [, top = "1", bottom = String(this.size.rows)] = /\$r(\d+);(\d+)r/.exec(this.#answer) ?? [];
    return { top: Number(top) - 1, bottom: Number(bottom) - 1 };
  }
}

/** How wide characters are, as Bun knows it: newer than the emulator's own table, in which most emoji are narrow. */
function createWidths(): IUnicodeVersionProvider {
  const known = new Map<number, 0 | 1 | 2>();
  const wcwidth = (code: number): 0 | 1 | 2 => {
    if (code < 0x300) return 1;
    const width = known.get(code) ?? toCells(toWidth(String.fromCodePoint(code)));
    known.set(code, width);
    return width;
  };
  return {
    version: "bun",
    wcwidth,
    charProperties: (code, preceding) => toProperties(wcwidth(code), preceding),
  };
}

function toCells(width: number): 0 | 1 | 2 {
  if (width === 0) return 0;
  return width === 1 ? 1 : 2;
}

/** As the emulator packs them: whether it joins the character before, and the width of both together. */
function toProperties(width: 0 | 1 | 2, preceding: number): number {
  const before = (preceding >> 1) & 3;
  const joins = width === 0 && before > 0;
  return ((joins ? before : width) << 1) | Number(joins);
}
