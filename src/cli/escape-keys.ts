import { AppError } from "../protocol/error.ts";

/** What the keys after an escape character mean, typed at the beginning of a line. */
export type EscapeCommand = "disconnect" | "detach" | "suspend" | "help";

/** Those that leave the job. */
export type Leaving = Extract<EscapeCommand, "disconnect" | "detach">;

export function isLeaving(command: EscapeCommand): command is Leaving {
  return command === "disconnect" || command === "detach";
}

const COMMANDS: ReadonlyMap<number, EscapeCommand> = new Map([
  [".".charCodeAt(0), "disconnect"],
  ["d".charCodeAt(0), "detach"],
  [0x1a, "suspend"], // Ctrl-Z
  ["?".charCodeAt(0), "help"],
]);

const LINE_ENDS = [0x0a, 0x0d];

/** What begins commands to us unless another byte is chosen: the tilde, as for ssh. */
export const DEFAULT_ESCAPE = 0x7e;

/** What can be typed behind the escape, for people. */
export function explainEscapes(escape: number): string {
  const name = escape < 0x20 ? `^${String.fromCharCode(escape + 0x40)}` : String.fromCharCode(escape);
  const lines = [
    [".", "disconnect; the job goes on unless it was to end with its client"],
    ["d", "detach; the job goes on"],
    ["^Z", "suspend this client"],
    ["?", "this list"],
    [name, `send ${name} itself`],
  ] as const;
  const list = lines.map(([key, what]) => `  ${name}${key.padEnd(4)}${what}\n`).join("");
  return `\nAt the beginning of a line:\n${list}`;
}

/** Reads the value of `--escape`: the character's byte, or undefined for none. Throws `invalid_input`. */
export function parseEscape(text: string): number | undefined {
  if (text === "none") return undefined;
  const [, control] = /^\^([@-_a-z])$/.exec(text) ?? [];
  if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
  if (/^[\x21-\x7e]$/.test(text)) return text.charCodeAt(0);
  throw new AppError(
    "invalid_input",
    `Cannot use --escape "${text.slice(0, 40)}": write one character, one such as ^B, or none`,
  );
}

/** The option by which that is chosen. */
export const escapeArg = {
  escape: {
    type: "string",
    valueHint: "char|none",
    description: "Begins commands to farhand at the beginning of a line (default ~; ~? lists them)",
  },
} as const;

/** What was typed: bytes for the program, or a command for us. */
export type Typed = Uint8Array | EscapeCommand;

/** Finds in what is typed what is meant for us: the escape character and a key, where a line begins. Twice, it means itself. */
export class EscapeKeys {
  readonly #escape: number | undefined;
  #isAtLineStart = true;
  /** The escape character was typed, and it depends on the next key whom it is for. */
  #isEscaped = false;

  constructor(escape: number | undefined) {
    this.#escape = escape;
  }

  *read(bytes: Uint8Array): Generator<Typed, void, void> {
    let begin = 0;
    for (let index = 0; index < bytes.length; index++) {
      const key = bytes[index] as number;
      if (this.#isEscaped) {
        this.#isEscaped = false;
        const command = key === this.#escape ? undefined : COMMANDS.get(key);
        begin = command === undefined ? index : index + 1;
        this.#isAtLineStart = command !== undefined || LINE_ENDS.includes(key);
        if (command !== undefined) yield command;
        else if (key !== this.#escape) yield Uint8Array.of(this.#escape as number);
      } else if (key === this.#escape && this.#isAtLineStart) {
        if (index > begin) yield bytes.subarray(begin, index);
        begin = index + 1;
        this.#isEscaped = true;
      } else this.#isAtLineStart = LINE_ENDS.includes(key);
    }
    if (begin < bytes.length) yield bytes.subarray(begin);
  }
}
