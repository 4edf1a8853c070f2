import { AppError } from "../../protocol/error.ts";

/** Lets a few through at a time, and a few more wait in line. */
export class Turnstile {
  readonly #places: number;
  readonly #line: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(places: number, line: number) {
    this.#places = places;
    this.#line = line;
  }

  /** Resolves with a place, which is given back by disposing it. Throws `too_many` when the line is full. */
  async enter(): Promise<Disposable> {
    if (this.#inside < this.#places) this.#inside++;
    else if (this.#waiting.length >= this.#line)
      throw new AppError("too_many", "Cannot let you in: too many others are at the door; try again later");
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        const next = this.#waiting.shift();
        if (next === undefined) this.#inside--;
        else next();
      },
    };
  }
}
