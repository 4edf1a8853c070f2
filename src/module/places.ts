import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as authoring from "./authoring.ts";
import type { Fault } from "./definition.ts";
import type { Problem } from "./problem.ts";

/** A line of a file. */
interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** Finds in the sources of a module what is wrong with it: it is given what notes where each definition is made. */
export class Places {
  readonly #file: string;
  readonly #inputs: readonly string[];
  /** Where each definition was made. */
  readonly #made = new WeakMap<object, Place>();

  /** `file`: the module, absolute; `inputs`: all files that it is made of. */
  constructor(file: string, inputs: readonly string[]) {
    this.#file = file;
    this.#inputs = inputs;
  }

  /** What the module finds as `farhand`. */
  get given(): object {
    const note = <T>(definition: T): T => {
      // The first frame is ours.
      const place = this.#readFrame(new Error().stack?.split("\n")[2] ?? "");
      if (place !== undefined && typeof definition === "object" && definition !== null)
        this.#made.set(definition, place);
      return definition;
    };
    return { ...authoring, defineCommand: note, definePack: note, defineTask: note };
  }

  /** Where a definition is wrong. */
  locate({ message, subject, field }: Fault): Problem {
    const made = subject && this.#made.get(subject);
    const start = made ?? { file: this.#file, line: 1 };
    return { message, ...((field && findField(start, field)) ?? made) };
  }

  /** Where what a module threw as it was loaded comes from. */
  trace(error: unknown): Problem {
    if (!(error instanceof Error)) return { message: `it throws ${String(error)} as it is loaded` };
    const [, missing] = /^Export named '(.+?)' not found in module 'farhand'/.exec(error.message) ?? [];
    if (missing !== undefined)
      return { message: `"farhand" has no "${missing}"`, ...this.#findWord(missing) };
    const frames = error.stack?.split("\n") ?? [];
    const place = frames.map((frame) => this.#readFrame(frame)).find((found) => found !== undefined);
    const [message = ""] = error.message.split("\n");
    return { message: `it throws "${message}" as it is loaded`, ...place };
  }

  #readFrame(frame: string): Place | undefined {
    const [, name, line, column] = /^\s*at (?:.*\()?(.+?):(\d+):(\d+)\)?$/.exec(frame) ?? [];
    const file = resolve(dirname(this.#file), name ?? "");
    if (!this.#inputs.includes(file)) return undefined;
    const text = readLines(file)[Number(line) - 1] ?? "";
    return { file, line: Number(line), column: Number(column), text };
  }

  #findWord(word: string): Place | undefined {
    const pattern = new RegExp(`\\b${RegExp.escape(word)}\\b`);
    for (const file of this.#inputs) {
      const found = findLine(file, pattern);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The line of a field, if it stands behind where its definition begins, and before where another does. */
function findField({ file, line }: Pick<Place, "file" | "line">, path: string): Place | undefined {
  const [field = ""] = path.split(".");
  const lines = readLines(file);
  const next = lines.findIndex((text, index) => index >= line && /\bdefine(Command|Pack|Task)\(/.test(text));
  const found = findLine(
    file,
    new RegExp(`(?<![\\w"'.])["']?${RegExp.escape(field)}["']?\\s*[:(,]`),
    line - 1,
  );
  return found !== undefined && (next < 0 || found.line <= next) ? found : undefined;
}

/** The first line of a file that matches, from the one of that number on, counted from 0. */
export function findLine(file: string, pattern: RegExp, start = 0): Place | undefined {
  const lines = readLines(file);
  const index = lines.findIndex((text, number) => number >= start && pattern.test(text));
  const text = lines[index];
  return text === undefined ? undefined : { file, line: index + 1, column: text.search(pattern) + 1, text };
}

function readLines(file: string): readonly string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
}
