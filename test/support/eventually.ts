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
