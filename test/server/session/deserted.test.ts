import { expect, test } from "bun:test";
import { Deserted } from "../../../src/server/session/deserted.ts";

const create = (owner: string) => ({ identity: { owner } });

test("Deserted gives up the longest deserted of whoever has most, so that nobody drives out the others", () => {
  const deserted = new Deserted<ReturnType<typeof create>>(4);
  const [ada, first, second, third, fourth] = ["ada", "eve", "eve", "eve", "eve"].map(create);
  for (const session of [ada, first, second, third])
    expect(deserted.add(session ?? create(""))).toBeUndefined();
  expect(deserted.add(fourth ?? create(""))).toBe(first);
  deserted.delete(first ?? create(""));
  expect(deserted.add(create("ada"))).toBe(second);
});

test("Deserted keeps what it has room for, and forgets what is back", () => {
  const deserted = new Deserted<ReturnType<typeof create>>(1);
  for (let round = 0; round < 3; round++) {
    const session = create("ada");
    expect(deserted.add(session)).toBeUndefined();
    deserted.delete(session);
  }
});
