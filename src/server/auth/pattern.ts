import { Glob } from "../../lib/glob.ts";

/** Whether one of these globs means a name, all of it. */
export function matchesAny(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => matches(glob, name));
}

/** Characters of a word beyond which nothing but `*` means it: whoever writes both would have us compare for seconds. */
const MAX_WORD = 4 * 1024;

/** Whether a glob means a name, all of it. */
export function matches(glob: string, name: string): boolean {
  if (glob === "*") return true;
  if (name.length > MAX_WORD) return false;
  return new Glob(Buffer.from(glob)).matches(Buffer.from(name));
}

/**
 * Whether words are what a pattern means, each a glob for one of them. A last `**` takes any number of words. Nothing takes a
 * word that begins with `-` but a glob that does so itself: what is left open is never an option.
 */
export function matchesWords(pattern: readonly string[], words: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === "**";
  const globs = isOpen ? pattern.slice(0, -1) : pattern;
  if (isOpen ? words.length < globs.length : words.length !== globs.length) return false;
  return words.every((word, index) => {
    const glob = globs[index] ?? "*";
    return word.startsWith("-") && !glob.startsWith("-") ? false : matches(glob, word);
  });
}
