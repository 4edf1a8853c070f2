import { Glob } from "../../lib/glob.ts";

/** Whether one of these globs means a name, all of it. */
export function matchesAny(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => matches(glob, name));
}

/** Whether a glob means a name, all of it. */
export function matches(glob: string, name: string): boolean {
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
