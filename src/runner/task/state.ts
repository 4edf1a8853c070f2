import { copy } from "./copy.ts";

/**
 * What a task remembers. An execution that throws leaves it as it was, also where it was changed in place, as far as it could be
 * copied: as a value of at most 10,000 items and 1 MiB, without functions and instances of classes of one's own.
 */
export class State {
  #value: unknown;
  #before: { readonly value: unknown } | undefined;

  constructor(value: unknown) {
    this.#value = value;
  }

  get value(): unknown {
    return this.#value;
  }

  /** An execution begins. */
  begin(): void {
    this.#before = copy(this.#value);
  }

  /** It has returned this one. */
  replace(value: unknown): void {
    this.#value = value;
  }

  /** It has thrown. What it did not touch stays the same object. */
  restore(): void {
    const before = this.#before;
    if (before !== undefined && !Bun.deepEquals(this.#value, before.value, true)) this.#value = before.value;
  }
}
