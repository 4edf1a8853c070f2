import { ScreenModes } from "./screen-modes.ts";
import { type Control, type Part, Sequences } from "./sequences.ts";

/** Private modes in which a terminal sends what nobody has typed: mouse, focus, colours, its size. */
const SENDING = [9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2031, 2048];
/** Window operations that answer. */
const REPORTS = [11, 13, 14, 15, 16, 18, 19, 20, 21];

const ENQ = 0x05;

/**
 * What a program wrote to a terminal, for one on which somebody only looks on: without all that a terminal answers, or that
 * makes it send more than what is typed, since nobody would read that but the shell which comes next.
 */
export class Mute {
  readonly #sequences = new Sequences();
  readonly #modes = new ScreenModes();

  /** What may be shown of these bytes and those before them. */
  pass(bytes: Uint8Array): Uint8Array {
    const shown: Uint8Array[] = [];
    for (const part of this.#sequences.push(bytes)) {
      const passed = toShown(part);
      if (passed === undefined) continue;
      this.#modes.watch(passed.bytes);
      shown.push(passed.bytes);
    }
    return shown.length === 1 && shown[0] !== undefined ? shown[0] : Buffer.concat(shown);
  }

  /** What brings the terminal back to where it was, whatever the program left it in. */
  restore(): string {
    return this.#modes.toReset();
  }
}

function toShown(part: Part): Part | undefined {
  switch (part.type) {
    case "text":
      return part.bytes.includes(ENQ) ? { ...part, bytes: part.bytes.filter((byte) => byte !== ENQ) } : part;
    case "escape":
      return part.final === "Z" && part.intermediates === "" ? undefined : part;
    case "control":
      return isQuestion(part) ? undefined : toQuiet(part);
    case "string":
      return isHarmless(part) ? part : undefined;
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
function toQuiet(control: Control): Control | undefined {
  const { prefix, params, intermediates, final } = control;
  if (prefix !== "?" || intermediates !== "" || final !== "h") return control;
  const quiet = params.filter((mode) => !SENDING.includes(Number(mode)));
  if (quiet.length === params.length) return control;
  if (quiet.length === 0) return undefined;
  return { ...control, params: quiet, bytes: Buffer.from(`\x1b[?${quiet.join(";")}h`) };
}

/** Not a question, nor something that is for other eyes: the clipboard, or a sequence for a terminal around this one. */
function isHarmless({ begin, body }: Extract<Part, { type: "string" }>): boolean {
  if (begin === "]") return !/^52;|(?:^|;)\?(?:;|$)/.test(body);
  return begin === "P" && !/^[\d;]*[$+]q|^tmux;/.test(body);
}
