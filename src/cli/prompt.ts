import { AppError } from "../protocol/error.ts";
import type { Surroundings } from "./context.ts";
import { Interrupted } from "./main.ts";
import type { LocalTerminal } from "./raw-mode.ts";

export interface AskOptions extends Pick<Surroundings, "sinks"> {
  readonly signal: AbortSignal;
  /** Shows nothing of what is typed. */
  readonly isHidden?: boolean;
}

const ENTER = ["\r", "\n"];
const [INTERRUPT, END, CLEAR, QUIT] = ["\x03", "\x04", "\x15", "\x1c"];
const BACKSPACE = ["\x7f", "\b"];

/**
 * Asks for a line at the terminal; the question goes to stderr. Throws `cancelled` where there is none any more, an
 * `Interrupted` on Ctrl-C, or the signal's reason.
 */
export async function ask(
  terminal: LocalTerminal,
  question: string,
  { sinks: { stderr }, signal, isHidden = false }: AskOptions,
): Promise<string> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const line = new Line();
  const take = (bytes: Uint8Array) => {
    for (const character of line.decode(bytes)) {
      if (ENTER.includes(character)) return resolve(line.text);
      if (character === INTERRUPT || character === QUIT) return reject(new Interrupted("INT"));
      if (character === END && line.text === "")
        return reject(new AppError("cancelled", "Cannot go on: nothing was answered"));
      const shown = line.type(character);
      if (!isHidden) stderr.write(shown);
    }
  };
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  stderr.write(question);
  try {
    using _raw = terminal.enterRaw();
    using _keys = terminal.listen(take);
    return await promise;
  } finally {
    signal.removeEventListener("abort", stop);
    stderr.write("\n"); // nobody's Enter was shown
    await stderr.flushed();
  }
}

/** What was typed so far. */
class Line {
  readonly #decoder = new TextDecoder();
  #characters: string[] = [];

  get text(): string {
    return this.#characters.join("");
  }

  decode(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** Takes a character, and answers what shows that on a terminal. */
  type(character: string): string {
    if (character === CLEAR) {
      const rubbed = "\b \b".repeat(this.#characters.length);
      this.#characters = [];
      return rubbed;
    }
    if (BACKSPACE.includes(character)) return this.#characters.pop() === undefined ? "" : "\b \b";
    if (/[\x00-\x1f]/.test(character)) return "";
    this.#characters.push(character);
    return character;
  }
}

/** All of our stdin as text, without the newline behind it. Throws `invalid_input` for more than so many bytes. */
export async function readInput({ stdin }: Pick<Surroundings, "stdin">, maxBytes: number): Promise<string> {
  const [decoder, parts] = [new TextDecoder(), [] as string[]];
  let left = maxBytes + 2; // for a newline
  for await (const chunk of stdin()) {
    left -= chunk.length;
    if (left < 0)
      throw new AppError("invalid_input", `Cannot read stdin: it holds more than ${maxBytes} bytes`);
    parts.push(decoder.decode(chunk, { stream: true }));
  }
  return parts.join("").replace(/\r?\n$/, "");
}
