/** Keys below this are kept by the engine as an array keeps its elements, with a place for each number before them. */
const MAX_PLACES = 1_000;

/**
 * How many places of 8 bytes an object takes for a key that is a whole number: a thousand times what it is written with. 0 for
 * any other key, and for a number so large that the engine keeps it as it does a name.
 */
export function countPlaces(key: string): number {
  if (key.length > 3 || !/^(?:0|[1-9]\d*)$/.test(key)) return 0;
  return Math.min(Number(key) + 1, MAX_PLACES);
}
