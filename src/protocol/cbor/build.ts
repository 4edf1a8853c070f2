import { MAX_NAMED_GROUPS, MAX_REGEXP_CHARACTERS } from "../limits.ts";

type Refuse = (what: string) => Error;

/** Milliseconds since 1970 as a date; not a number for one that is none. Throws what is refused: one beyond all dates. */
export function toDate(ms: number, refuse: Refuse): Date {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime()) && !Number.isNaN(ms)) throw refuse("has a date beyond all dates");
  return date;
}

/** Throws what is refused: what is no URL. */
export function toUrl(text: string, refuse: Refuse): URL {
  if (!URL.canParse(text)) throw refuse("has a URL that is none");
  return new URL(text);
}

/** Throws what is refused: what is no regular expression. It is compiled, and never run here. */
export function toRegExp(source: string, flags: string, refuse: Refuse): RegExp {
  checkRegExp(source, refuse);
  try {
    return new RegExp(source, flags);
  } catch {
    throw refuse("has a regular expression that is none");
  }
}

/** Throws what is refused: one that it would take long to compile. */
export function checkRegExp(source: string, refuse: Refuse): void {
  if (source.length > MAX_REGEXP_CHARACTERS)
    throw refuse(`has a regular expression of more than ${MAX_REGEXP_CHARACTERS} characters`);
  const named = source.split("(?<").length - 1;
  if (named > MAX_NAMED_GROUPS)
    throw refuse(`has a regular expression with more than ${MAX_NAMED_GROUPS} named groups`);
}
