import { MAX_JSON_DEPTH } from "./limits.ts";
import { countPlaces } from "./places.ts";

/** Characters of a key that may be a small number: three digits, each perhaps written as an escape. */
const MAX_DIGITS = 3 * "\\u0030".length;

export interface JsonMeasure {
  /** The deepest nesting of brackets; where that is beyond what may be, the rest was not looked at. */
  readonly depth: number;
  /** Keys and containers. */
  readonly items: number;
  /** Of 8 bytes, for keys that are small numbers. */
  readonly places: number;
}

/** What JSON is made of, or any text as if it were some. Cheaper than parsing, and safe on any input. */
export function measureJson(text: string): JsonMeasure {
  let open = 0;
  let depth = 0;
  let items = 0;
  let places = 0;
  /** Places of the objects that are open, by their depth. */
  const widths: number[] = [0];
  let quoted = false;
  let quote = 0;
  let unquote = 0;
  for (let index = 0; index < text.length && depth <= MAX_JSON_DEPTH; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22) {
      quoted = !quoted;
      if (quoted) quote = index;
      else unquote = index;
    } else if (quoted) index += code === 0x5c ? 1 : 0;
    else if (code === 0x5b || code === 0x7b) {
      items++;
      widths[++open] = 0;
      depth = Math.max(depth, open);
    } else if (code === 0x5d || code === 0x7d) open = Math.max(0, open - 1);
    else if (code === 0x3a) {
      items++;
      const width =
        unquote - quote <= MAX_DIGITS + 1 ? countPlaces(unescape(text.slice(quote + 1, unquote))) : 0;
      const before = widths[open] ?? 0;
      if (width > before) {
        places += width - before;
        widths[open] = width;
      }
    }
  }
  return { depth, items, places };
}

/** A key with its digits as they are. */
function unescape(key: string): string {
  return key.includes("\\") ? key.replace(/\\u003(\d)/g, "$1") : key;
}
