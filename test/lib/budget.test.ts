import { expect, test } from "bun:test";
import { Budget } from "../../src/lib/budget.ts";
import { turn } from "../../src/lib/abort.ts";

const { signal } = new AbortController();

test("A budget lets take what there is, and has the rest wait in the order of asking", async () => {
  const budget = new Budget(10);
  const order: string[] = [];
  const take = async (name: string, amount: number) => {
    const taken = await budget.take(amount, signal);
    order.push(name);
    return taken;
  };
  const [a, b] = await Promise.all([take("a", 6), take("b", 4)]);
  const c = take("c", 5);
  const d = take("d", 1);
  await turn();
  expect(order).toEqual(["a", "b"]);
  b[Symbol.dispose]();
  await turn();
  expect(order).toEqual(["a", "b"]); // c needs more, and d comes behind it
  a[Symbol.dispose]();
  a[Symbol.dispose]();
  await Promise.all([c, d]);
  expect(order).toEqual(["a", "b", "c", "d"]);
});

test("A budget lets more be taken than it has, alone", async () => {
  const budget = new Budget(10);
  const large = await budget.take(100, signal);
  let isTaken = false;
  const other = budget.take(1, signal).then((taken) => ((isTaken = true), taken));
  await turn();
  expect(isTaken).toBe(false);
  large[Symbol.dispose]();
  (await other)[Symbol.dispose]();
  (await budget.take(100, signal))[Symbol.dispose]();
});

test("A budget forgets whoever does not wait any longer, and keeps the order of the others", async () => {
  const budget = new Budget(1);
  const first = await budget.take(1, signal);
  const gone = new AbortController();
  const order: string[] = [];
  const before = budget.take(1, signal).then((taken) => (order.push("before"), taken));
  const given = budget.take(1, gone.signal).catch((error: unknown) => error);
  const behind = budget.take(1, signal).then((taken) => (order.push("behind"), taken));
  gone.abort("enough");
  expect(await given).toBe("enough");
  await turn();
  expect(order).toEqual([]);
  first[Symbol.dispose]();
  (await before)[Symbol.dispose]();
  (await behind)[Symbol.dispose]();
  expect(order).toEqual(["before", "behind"]);
});
