import { expect, test } from "bun:test";
import type { JobId } from "../../../src/protocol/id.ts";
import { Changes } from "../../../src/server/jobs/changes.ts";

const never = new AbortController().signal;
const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}` as JobId;
const ids = (changes: readonly { id: JobId }[] | undefined) => changes?.map((change) => change.id);

test("since() tells each job that changed once, in the order of their last changes", async () => {
  const changes = new Changes();
  const before = changes.cursor();
  for (const n of [1, 2, 1, 3]) changes.note(id(n), { owner: "local" });
  expect(ids(await changes.since(before, never))).toEqual([id(2), id(1), id(3)]);
});

test("since() waits until there is something, and then tells only that", async () => {
  const changes = new Changes();
  changes.note(id(1), { owner: "local" });
  const waiting = changes.since(changes.cursor(), never);
  changes.note(id(2), { owner: "local" });
  expect(ids(await waiting)).toEqual([id(2)]);
});

test("a part that was taken is not told again from its cursor", async () => {
  const changes = new Changes();
  const before = changes.cursor();
  for (const n of [1, 2, 3]) changes.note(id(n), { owner: "local" });
  const [first] = (await changes.since(before, never)) ?? [];
  expect(ids(await changes.since(changes.cursor(first?.revision), never))).toEqual([id(2), id(3)]);
});

test("since() rejects with the signal's reason", async () => {
  const changes = new Changes();
  const stop = new AbortController();
  const waiting = changes.since(changes.cursor(), stop.signal);
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("a cursor of another life, of the future, or of nothing at all is not known", async () => {
  const changes = new Changes();
  for (const cursor of [new Changes().cursor(), `${changes.cursor()}1`, "", "x.1", changes.cursor(7)])
    expect(await changes.since(cursor, never)).toBeUndefined();
});

test("what is longer ago than is remembered is not known, and nothing grows for ever", async () => {
  const changes = new Changes();
  const before = changes.cursor();
  for (let n = 0; n < 10_000; n++) changes.note(id(n), { owner: "local" });
  expect(await changes.since(before, never)).toHaveLength(10_000);
  changes.note(id(10_000), { owner: "local" });
  expect(await changes.since(before, never)).toBeUndefined();
});
