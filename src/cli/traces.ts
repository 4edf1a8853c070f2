import { Sequences, type Part } from "./sequences.ts";

/** Private modes that are on unless a program switches them off: wrapping, the cursor. */
const ON_AT_FIRST = [7, 25];
/** What switches to the other screen; leaving it puts the cursor elsewhere, so that it is only left if it was entered. */
const SCREENS = [47, 1047, 1049];

/** What else a program may leave behind, and what undoes it. Without a region the cursor would go to the corner. */
const UNDO = {
  region: "\x1b7\x1b[r\x1b8",
  insert: "\x1b[4l",
  keypad: "\x1b>",
  keys: "\x1b[>4m",
  shape: "\x1b[0 q",
  charset: "\x1b(B\x0f",
  style: "\x1b[m",
} as const;

/** What a program has left a terminal in, so that whoever leaves that program can leave the terminal as it was. */
export class Traces {
  readonly #sequences = new Sequences();
  /** Private modes that the program has changed. */
  readonly #modes = new Map<number, boolean>();
  readonly #others = new Set<keyof typeof UNDO>();
  /** Keyboard protocols that it has entered and not left. */
  #keyboards = 0;

  /** Takes what is written to the terminal, however it comes in pieces. */
  look(bytes: Uint8Array): void {
    for (const part of this.#sequences.push(bytes)) this.note(part);
  }

  note(part: Part): void {
    if (part.type === "escape") {
      if (part.intermediates === "" && part.final === "=") this.#others.add("keypad");
      if (part.intermediates === "(" || part.intermediates === ")") this.#others.add("charset");
      if (part.intermediates === "" && part.final === "c") this.#forget();
    }
    if (part.type !== "control") return;
    const { prefix, params, intermediates, final } = part;
    const isOn = final === "h";
    switch (`${prefix}${intermediates}${final}`) {
      case "?h":
      case "?l":
        for (const mode of params) this.#modes.set(Number(mode), isOn);
        break;
      case "h":
        if (params.includes("4")) this.#others.add("insert");
        break;
      case "r":
        this.#others.add("region");
        break;
      case " q":
        this.#others.add("shape");
        break;
      case "m":
        if (["", "0"].includes(params.at(-1) ?? "")) this.#others.delete("style");
        else this.#others.add("style");
        break;
      case ">m":
        this.#others.add("keys");
        break;
      case ">u":
        this.#keyboards++;
        break;
      case "<u":
        this.#keyboards = Math.max(0, this.#keyboards - Math.max(1, Number(params[0])));
    }
  }

  /** What undoes it all; nothing if there is nothing to undo. */
  restore(): string {
    const changed = [...this.#modes].filter(([mode, isOn]) => isOn !== ON_AT_FIRST.includes(mode));
    const toUndo = ([mode, isOn]: readonly [number, boolean]) => `\x1b[?${mode}${isOn ? "l" : "h"}`;
    return [
      this.#others.has("region") ? UNDO.region : "",
      this.#keyboards > 0 ? `\x1b[<${this.#keyboards}u` : "",
      ...changed.filter(([mode]) => !SCREENS.includes(mode)).map(toUndo),
      ...Object.entries(UNDO).flatMap(([name, undo]) => (name !== "region" && this.#has(name) ? [undo] : [])),
      ...changed.filter(([mode]) => SCREENS.includes(mode)).map(toUndo),
    ].join("");
  }

  #has(name: string): boolean {
    return [...this.#others].some((other) => other === name);
  }

  #forget(): void {
    this.#modes.clear();
    this.#others.clear();
    this.#keyboards = 0;
  }
}
