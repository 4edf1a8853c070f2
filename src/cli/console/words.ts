import { AppError } from "../../protocol/error.ts";

/** One word of a line, without its quotes and backslashes. */
export interface Word {
  readonly text: string;
  /** How much of its beginning was written without any quote or backslash: where that is `name=`, it may mean a field. */
  readonly bare: number;
}

/** The word that a line ends in, as far as it is there. It is empty behind a space. */
export interface Unfinished extends Word {
  /** Where it begins in the line. */
  readonly start: number;
}

/**
 * Splits a line into words as a shell does: `'…'`, `"…"`, `$'…'` and backslashes. Nothing is evaluated: `$`, `*`, `;` and
 * the like are characters. Throws `invalid_input` where a quote is not closed, or a backslash has nothing to stand before.
 */
export function splitWords(line: string): readonly Word[] {
  const { words, last, open } = scan(line);
  if (open === "\\") throw refused("nothing follows the backslash at its end");
  if (open !== "") throw refused(`a ${open} is not closed`);
  return last === undefined ? words : [...words, last];
}

/** Whether a word is exactly this, without quotes. */
export function isWord({ text, bare }: Word, word: string): boolean {
  return text === word && bare === word.length;
}

/** What stands before the cursor, which is at the end of the line: whole words, and the one that is being written. */
export function splitUnfinished(line: string): {
  readonly words: readonly Word[];
  readonly last: Unfinished;
} {
  const { words, last } = scan(line);
  return { words, last: last ?? { text: "", bare: 0, start: line.length } };
}

/** A word as it is to be written so that it means exactly this text. */
export function writeWord(text: string): string {
  if (text === "") return "''";
  return text
    .replace(/[^\w@%+:,./\u{a1}-\u{10ffff}-]/gu, (character) => {
      if (!CONTROL.test(character)) return `\\${character}`;
      return `$'${WRITTEN[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`}'`;
    })
    .replace(INVISIBLE, (mark) => `$'\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}'`);
}

const CONTROL = /[\x00-\x1f\x7f-\xa0]/;
/** Marks that turn the direction of writing, or are no character at all. */
const INVISIBLE =
  /[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const WRITTEN: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e" };
const READ: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  e: "\x1b",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
};

interface Scanned {
  readonly words: readonly Word[];
  readonly last: Unfinished | undefined;
  /** The quote that is open in the end, or a backslash. */
  readonly open: string;
}

function scan(line: string): Scanned {
  const words: Word[] = [];
  let index = 0;
  for (;;) {
    while (line[index] === " " || line[index] === "\t") index++;
    if (index >= line.length) return { words, last: undefined, open: "" };
    const start = index;
    const word = scanWord(line, start);
    const { text, bare, open } = word;
    index = word.end;
    if (index >= line.length) return { words, last: { text, bare, start }, open };
    words.push({ text, bare });
  }
}

/** One word, up to the space behind it or the end of the line. */
function scanWord(line: string, start: number): Word & { readonly end: number; readonly open: string } {
  let [text, bare, index] = ["", 0, start];
  let isBare = true;
  for (; index < line.length;) {
    const rest = line.slice(index, index + 2);
    const quote = rest === "$'" ? rest : "'\"\\".includes(rest.charAt(0)) ? rest.charAt(0) : "";
    if (quote === "") {
      if (rest.startsWith(" ") || rest.startsWith("\t")) break;
      text += rest.charAt(0);
      if (isBare) bare++;
      index++;
      continue;
    }
    isBare = false;
    const part = scanQuoted(line, index + quote.length, quote);
    text += part.text;
    index = part.end;
    if (!part.isClosed) return { text, bare, end: line.length, open: quote === "$'" ? "'" : quote };
  }
  return { text, bare, end: index, open: "" };
}

interface Part {
  readonly text: string;
  readonly end: number;
  readonly isClosed: boolean;
}

/** What stands from `index` on, behind a quote or backslash that was opened there. */
function scanQuoted(line: string, index: number, quote: string): Part {
  if (quote === "\\") {
    const text = String.fromCodePoint(
      ...(line.codePointAt(index) === undefined ? [] : [line.codePointAt(index) ?? 0]),
    );
    return { text, end: index + text.length, isClosed: text !== "" };
  }
  const close = quote.at(-1);
  let text = "";
  for (let at = index; at < line.length; at++) {
    if (line[at] === close) return { text, end: at + 1, isClosed: true };
    if (line[at] !== "\\" || quote === "'") {
      text += line[at];
      continue;
    }
    const escaped = quote === '"' ? scanEscape(line, at) : scanAnsiEscape(line, at);
    text += escaped.text;
    at = escaped.end - 1;
  }
  return { text, end: line.length, isClosed: false };
}

/** Between `"` a backslash is one except before these. */
function scanEscape(line: string, at: number): Omit<Part, "isClosed"> {
  const next = line.charAt(at + 1);
  return '"\\$`'.includes(next) ? { text: next, end: at + 2 } : { text: `\\${next}`, end: at + 2 };
}

function scanAnsiEscape(line: string, at: number): Omit<Part, "isClosed"> {
  const [whole, short, long] = /^\\(?:x([0-9a-f]{1,2})|u([0-9a-f]{1,4}))/i.exec(line.slice(at, at + 6)) ?? [];
  const code = short ?? long;
  if (whole !== undefined && code !== undefined)
    return { text: String.fromCharCode(Number.parseInt(code, 16)), end: at + whole.length };
  const next = line.charAt(at + 1);
  return { text: READ[next] ?? next, end: at + 2 };
}

function refused(why: string): AppError {
  return new AppError("invalid_input", `Cannot read the line: ${why}`);
}
