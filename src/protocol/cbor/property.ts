import { countPlaces } from "../places.ts";

/** Sets a property of its own, whatever it is called: `__proto__` and `constructor` are names like any other. */
export function setProperty(target: object, key: string, value: unknown): void {
  // One that was hidden first takes no place for each number before it: an object of 8 bytes would take 8,000.
  if (countPlaces(key) > 0) Object.defineProperty(target, key, { configurable: true });
  Object.defineProperty(target, key, { value, writable: true, configurable: true, enumerable: true });
}
