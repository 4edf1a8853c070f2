/** What `map` makes of each item, in their order, with at most `width` of them under way or waiting for their turn. */
export async function* mapAhead<T, R>(
  items: AsyncIterable<T>,
  width: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  const started: Promise<R>[] = [];
  for await (const item of items) {
    const mapped = map(item);
    mapped.catch(() => {}); // it is thrown when its turn comes, unless the reader is gone by then
    const oldest = started.push(mapped) < width ? undefined : started.shift();
    if (oldest !== undefined) yield await oldest;
  }
  for (const mapped of started) yield await mapped;
}
