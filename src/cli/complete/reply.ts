import { splitUnfinished, writeWord } from "../console/words.ts";
import { escapeControls } from "../../lib/escape.ts";
import { toWidth } from "../../lib/width.ts";
import type { Candidate, Completion } from "./candidate.ts";
import type { Shell } from "./shell.ts";

/** What a shell asks: the words before the one that is completed, and that as far as it is written. */
export interface Asked {
  readonly words: readonly string[];
  readonly text: string;
  /** Answers what the shell's script makes of a completion, line by line. */
  readonly reply: (completion: Completion) => readonly string[];
}

/** Longest description that is shown, in characters. */
const MAX_DESCRIPTION = 80;

/** Reads what a shell's script asks, each in its own manner. */
export function toAsked(shell: Shell, given: readonly string[]): Asked {
  if (shell === "bash") return askedByBash(given[0] ?? "", given[1] ?? "");
  const [words, last = ""] = [given.slice(0, -1), given.at(-1)];
  if (shell === "zsh") return { words, text: last, reply: replyToZsh };
  if (shell === "powershell")
    return { words, text: last.slice(1), reply: ({ candidates }) => candidates.map(describe) };
  // fish gives the last word as it is written, with its quotes.
  const { text } = splitUnfinished(last).last;
  return {
    words,
    text,
    reply: (completion) => (completion.isLocal === true ? [":files"] : completion.candidates.map(describe)),
  };
}

function describe({ value, description = "" }: Candidate): string {
  return description === "" ? value : `${value}\t${shorten(description)}`;
}

/** zsh shows descriptions as they are: they are to stand below each other. */
function replyToZsh({ candidates, isLocal }: Completion): readonly string[] {
  if (isLocal === true) return ["files"];
  const width = Math.max(0, ...candidates.map(({ value }) => toWidth(value)));
  return candidates.map(({ value, description = "", isOpen = false }) => {
    const padded = description === "" ? "" : " ".repeat(width - toWidth(value)) + shorten(description);
    return [isOpen ? "open" : "word", value, padded].join("\t");
  });
}

/** bash gives the line up to the cursor, and replaces what stands behind the last of its word breaks. */
function askedByBash(line: string, breaks: string): Asked {
  const { words, last } = splitUnfinished(line);
  const raw = line.slice(last.start);
  const quote = findOpenQuote(raw);
  const start = quote === undefined ? findBreak(raw, breaks) : quote.index + 1;
  // What stands before that stays, and is left out of each candidate.
  const kept = splitUnfinished(raw.slice(0, quote === undefined ? start : start - 1)).last.text.length;
  const write = ({ value }: Candidate) => writeFor(quote?.character, value.slice(kept));
  return {
    words: words.slice(1).map(({ text }) => text),
    text: last.text,
    reply({ candidates, isLocal }) {
      if (isLocal === true) return ["files"];
      const isOpen = candidates.length === 1 && candidates[0]?.isOpen === true;
      return [isOpen ? "open" : "words", ...candidates.map(write)];
    },
  };
}

function writeFor(quote: string | undefined, text: string): string {
  if (quote === "'") return text.replaceAll("'", "'\\''");
  if (quote === '"') return text.replace(/["\\$`]/g, "\\$&");
  return writeWord(text).replaceAll("\\=", "=");
}

/** The quote that a word ends within. */
function findOpenQuote(raw: string): { readonly character: string; readonly index: number } | undefined {
  let open: { character: string; index: number } | undefined;
  for (let index = 0; index < raw.length; index++) {
    const character = raw.charAt(index);
    if (character === "\\" && open?.character !== "'") index++;
    else if (open?.character === character) open = undefined;
    else if (open === undefined && (character === "'" || character === '"')) open = { character, index };
  }
  return open;
}

/** Where the word begins for bash: behind the last break that no backslash takes its meaning; `@` is part of what it begins. */
function findBreak(raw: string, breaks: string): number {
  for (let index = raw.length - 1; index >= 0; index--) {
    const character = raw.charAt(index);
    if (!breaks.includes(character) || " \\".includes(character) || raw.charAt(index - 1) === "\\") continue;
    return character === "@" ? index : index + 1;
  }
  return 0;
}

function shorten(text: string): string {
  const line = escapeControls(text);
  return line.length <= MAX_DESCRIPTION ? line : `${line.slice(0, MAX_DESCRIPTION - 1)}…`;
}
