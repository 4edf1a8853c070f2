import type { AppError } from "./error.ts";
import { MAX_JSON_DEPTH, MAX_JSON_KEYS } from "./limits.ts";

/**
 * Parses JSON of somebody else, if it is of bounded depth and has not too many keys: what is refused is not walked by anything.
 * Of keys that are there twice the last one counts. Throws what `refuse` makes of the rest of a sentence.
 */
export function parseForeignJson(text: string, refuse: (what: string) => AppError): unknown {
  const { depth, keys } = measure(text);
  if (depth > MAX_JSON_DEPTH) throw refuse(`is nested deeper than ${MAX_JSON_DEPTH} levels`);
  if (keys > MAX_JSON_KEYS) throw refuse(`has more than ${MAX_JSON_KEYS} keys`);
  try {
    return JSON.parse(text);
  } catch {
    throw refuse("is no JSON");
  }
}

/** The deepest nesting of brackets outside strings, and the colons there; cheaper than parsing, and safe on any input. */
function measure(text: string): { readonly depth: number; readonly keys: number } {
  let open = 0;
  let depth = 0;
  let keys = 0;
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22) quoted = !quoted;
    else if (quoted) index += code === 0x5c ? 1 : 0;
    else if (code === 0x5b || code === 0x7b) depth = Math.max(depth, ++open);
    else if (code === 0x5d || code === 0x7d) open--;
    else if (code === 0x3a) keys++;
  }
  return { depth, keys };
}
