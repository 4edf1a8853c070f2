/** Resolves once the condition holds; throws if it does not within so many milliseconds. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  within = 10_000,
): Promise<void> {
  const deadline = performance.now() + within;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Condition not met within ${within} ms: ${condition}`);
    await Bun.sleep(5);
  }
}

/** Resolves with a figure once it stands still: ten looks one after another find the same. */
export async function settled(read: () => number, within = 10_000): Promise<number> {
  let [last, looks] = [Number.NaN, 0];
  await eventually(() => {
    const now = read();
    looks = now === last ? looks + 1 : 0;
    last = now;
    return looks >= 10;
  }, within);
  return last;
}
