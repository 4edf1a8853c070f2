import * as v from "valibot";
import { MAX_RESTRICTION_ITEMS } from "./limits.ts";

const text = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.maxLength(4096),
  v.check((text) => !text.includes("\0")),
);
const list = <S extends v.GenericSchema>(item: S) =>
  v.pipe(v.array(item), v.minLength(1), v.maxLength(MAX_RESTRICTION_ITEMS));

/**
 * By how much a narrowed token may do less than the one that it was made from: each part takes something away, and what it
 * does not name stays as it was. A part that a reader does not know makes the whole invalid: it might have forbidden what is asked.
 */
export const Restriction = v.strictObject({
  /** Globs, one of which a command's name must match. */
  commands: v.optional(list(text)),
  /**
   * Patterns, one of which what a program is run with must match, word by word as globs. A `*` takes no word that begins with
   * `-`; a last word `**` takes any number of words that do not.
   */
  argv: v.optional(list(list(text))),
  /**
   * Globs, one of which the name of each variable must match that a call sets or takes away. Where `argv` is said and this
   * is not, none may be: what they say decides what the words mean.
   */
  environment: v.optional(list(text)),
  /** Absolute directories: programs run in, and files are those in, one of them. */
  roots: v.optional(list(text)),
  /** How many calls may be made with it, and with all that are made from it, together. */
  uses: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  /** Seconds since 1970 at which it ends. */
  expires: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});
export type Restriction = v.InferOutput<typeof Restriction>;
