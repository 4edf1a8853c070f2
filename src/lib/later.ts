/** A promise whose work begins when somebody first waits for it. */
export class Later<T> implements Promise<T> {
  readonly #begin: () => Promise<T>;
  #promise: Promise<T> | undefined;
  readonly [Symbol.toStringTag] = "Promise";

  constructor(begin: () => Promise<T>) {
    this.#begin = begin;
  }

  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#promise ??= this.#begin();
    return this.#promise.then(onFulfilled, onRejected);
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(null, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.then().finally(onFinally);
  }
}
