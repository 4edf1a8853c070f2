import { expect, test } from "bun:test";
import { until } from "../../src/runner/until.ts";

async function* say(...words: readonly string[]) {
  yield* words;
}

test("until() says all that comes, to its end", async () => {
  expect(await Array.fromAsync(until(say("a", "b"), new AbortController().signal))).toEqual(["a", "b"]);
});

test("until() tells whoever waits why no more comes, once its signal is aborted", async () => {
  const controller = new AbortController();
  async function* stall() {
    yield "a";
    await new Promise(() => {});
  }
  const heard = until(stall(), controller.signal);
  expect(await heard.next()).toEqual({ done: false, value: "a" });
  const next = heard.next();
  controller.abort(new Error("enough"));
  expect(next).rejects.toThrow("enough");
  expect(await heard.next()).toEqual({ done: true, value: undefined });
});
