import { type Control, type Part, Sequences } from "./sequences.ts";

/** Private modes in which a terminal sends what nobody has typed: mouse, focus, colours, its size. */
const SENDING = [9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2031, 2048];
/** Private modes that are on unless a program switches them off: wrapping, the cursor. */
const ON_AT_FIRST = [7, 25];
/** What switches to the other screen; leaving it puts the cursor elsewhere, so that it is only left if it was entered. */
const SCREENS = [47, 1047, 1049];
/** Window operations that answer. */
const REPORTS = [11, 13, 14, 15, 16, 18, 19, 20, 21];

const ENQ = 0x05;

/**
 * What a program wrote to a terminal, for one on which somebody only looks on: without all that a terminal answers, or that
 * makes it send more than what is typed, since nobody would read that but the shell which comes next.
 */
export class Mute {
  readonly #sequences = new Sequences();
  /** Private modes that the program has changed. */
  readonly #changed = new Map<number, boolean>();
  #others = new Set<string>();

  /** What may be shown of these bytes and those before them. */
  pass(bytes: Uint8Array): Uint8Array {
    const shown: Uint8Array[] = [];
    for (const part of this.#sequences.push(bytes)) {
      this.#note(part);
      const passed = toShown(part);
      if (passed !== undefined) shown.push(passed);
    }
    return shown.length === 1 && shown[0] !== undefined ? shown[0] : Buffer.concat(shown);
  }

  /** What brings the terminal back to where it was, whatever the program left it in. */
  restore(): string {
    const changed = [...this.#changed].filter(([mode, isOn]) => isOn !== ON_AT_FIRST.includes(mode));
    const screens = changed.filter(([mode]) => SCREENS.includes(mode));
    const modes = changed.filter(([mode]) => !SCREENS.includes(mode));
    return [
      ...(this.#others.has("region") ? ["\x1b7\x1b[r\x1b8"] : []),
      ...screens.map(([mode]) => `\x1b[?${mode}l`),
      ...modes.map(([mode, isOn]) => `\x1b[?${mode}${isOn ? "l" : "h"}`),
      ...(this.#others.has("insert") ? ["\x1b[4l"] : []),
      ...(this.#others.has("keypad") ? ["\x1b>"] : []),
      ...(this.#others.has("shape") ? ["\x1b[0 q"] : []),
      ...(this.#others.has("charset") ? ["\x1b(B\x0f"] : []),
      "\x1b[m",
    ].join("");
  }

  #note(part: Part): void {
    if (part.type === "escape" && part.final === "=" && part.intermediates === "") this.#others.add("keypad");
    if (part.type === "escape" && "()".includes(part.intermediates) && part.intermediates !== "")
      this.#others.add("charset");
    if (part.type !== "control") return;
    const { prefix, params, intermediates, final } = part;
    const isOn = final === "h";
    if (prefix === "?" && (isOn || final === "l"))
      for (const mode of params.map(Number)) if (!SENDING.includes(mode)) this.#changed.set(mode, isOn);
    if (prefix === "" && isOn && params.includes("4")) this.#others.add("insert");
    if (prefix === "" && final === "r") this.#others.add("region");
    if (intermediates === " " && final === "q") this.#others.add("shape");
  }
}

function toShown(part: Part): Uint8Array | undefined {
  switch (part.type) {
    case "text":
      return part.bytes.includes(ENQ) ? part.bytes.filter((byte) => byte !== ENQ) : part.bytes;
    case "escape":
      return part.final === "Z" && part.intermediates === "" ? undefined : part.bytes;
    case "control":
      return isQuestion(part) ? undefined : toQuiet(part);
    case "string":
      return isHarmless(part) ? part.bytes : undefined;
    case "c1":
    case "broken":
      return undefined;
  }
}

/** Whether a terminal answers it (ECMA-48, xterm's and kitty's lists of sequences). */
function isQuestion({ prefix, params, intermediates, final }: Control): boolean {
  switch (`${intermediates}${final}`) {
    case "c":
      return prefix !== "?";
    case "n":
      return prefix !== ">";
    case "x":
      return prefix === "";
    case "t":
      return prefix !== ">" && REPORTS.includes(Number(params[0]));
    case "q":
      return prefix === ">";
    case "u":
    case "m":
    case "S":
      return prefix === "?";
    case "$p":
    case "$w":
    case "$u":
    case "&u":
    case "*y":
    case "'|":
    case "'z":
      return true;
    default:
      return false;
  }
}

/** Without modes in which it sends. */
function toQuiet({ bytes, prefix, params, intermediates, final }: Control): Uint8Array | undefined {
  if (prefix !== "?" || intermediates !== "" || final !== "h") return bytes;
  const quiet = params.filter((mode) => !SENDING.includes(Number(mode)));
  if (quiet.length === params.length) return bytes;
  return quiet.length === 0 ? undefined : Buffer.from(`\x1b[?${quiet.join(";")}h`);
}

/** Not a question, nor something that is for other eyes: the clipboard, or a sequence for a terminal around this one. */
function isHarmless({ begin, body }: Extract<Part, { type: "string" }>): boolean {
  if (begin === "]") return !/^52;|(?:^|;)\?(?:;|$)/.test(body);
  return begin === "P" && !/^[\d;]*[$+]q|^tmux;/.test(body);
}
