/**
 * A queue between something that pushes and one reader that iterates. `close` ends the iteration after what is
 * queued, `fail` ends it with an error. The pusher bounds it; nothing here does.
 */
export class Mailbox<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #waiting: PromiseWithResolvers<void> | undefined;
  #ended = false;
  #error: unknown;

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#waiting?.resolve();
  }

  close(): void {
    this.#ended = true;
    this.#waiting?.resolve();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#error = error;
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const batch = this.#items;
      this.#items = [];
      yield* batch;
      if (this.#items.length > 0) continue;
      if (this.#ended) break;
      this.#waiting = Promise.withResolvers<void>();
      await this.#waiting.promise;
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
