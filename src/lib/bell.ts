/** Wakes whoever waits: each `ring` resolves every `wait` that was called before it. */
export class Bell {
  #next = Promise.withResolvers<void>();

  wait(): Promise<void> {
    return this.#next.promise;
  }

  ring(): void {
    const current = this.#next;
    this.#next = Promise.withResolvers<void>();
    current.resolve();
  }
}
