/** Sets a property of its own, whatever it is called: `__proto__` and `constructor` are names like any other. */
export function setProperty(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, configurable: true, enumerable: true });
}
