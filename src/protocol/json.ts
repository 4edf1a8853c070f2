import type { AppError } from "./error.ts";
import { MAX_JSON_DEPTH, MAX_JSON_ITEMS, MAX_JSON_PLACES } from "./limits.ts";
import { measureJson } from "./measure.ts";

/**
 * Parses JSON of somebody else, if it is of bounded depth, has not too many keys and containers, and no keys for which the engine
 * would set aside far more than they take: what is refused is not walked by anything. Of keys that are there twice the last one
 * counts. Throws what `refuse` makes of the rest of a sentence.
 */
export function parseForeignJson(text: string, refuse: (what: string) => AppError): unknown {
  const excess = findExcess(text);
  if (excess !== undefined) throw refuse(excess);
  try {
    return JSON.parse(text);
  } catch {
    throw refuse("is no JSON");
  }
}

/** For what JSON is refused before it is parsed, at the end of a sentence; undefined for what is not. */
export function findExcess(text: string): string | undefined {
  const { depth, items, places } = measureJson(text);
  if (depth > MAX_JSON_DEPTH) return `is nested deeper than ${MAX_JSON_DEPTH} levels`;
  if (items > MAX_JSON_ITEMS) return `has more than ${MAX_JSON_ITEMS} keys and containers`;
  return places > MAX_JSON_PLACES ? "has too many objects whose keys are small numbers" : undefined;
}
