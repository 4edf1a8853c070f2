import { abortable } from "../lib/abort.ts";

/** What comes, until the signal is aborted: whoever waits for more is then told its reason, and need not look at it himself. */
export async function* until<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await abortable(iterator.next(), signal);
    if (done) return;
    yield value;
  }
}
