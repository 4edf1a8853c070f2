import { expect, test } from "bun:test";
import fc from "fast-check";
import { toLines } from "../../src/runner/lines.ts";

/** The same bytes in pieces of these lengths. */
async function* cut(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const length of lengths) yield bytes.subarray(start, (start += length));
  yield bytes.subarray(start);
}

test("toLines() gives the same lines, however their bytes are cut", async () => {
  const line = fc
    .string({ unit: "grapheme" })
    .filter((text) => !/[\r\n]/.test(text) && !text.startsWith("\ufeff"));
  const lines = fc.array(line).map((list) => (list.at(-1) === "" ? [...list, "end"] : list));
  await fc.assert(
    fc.asyncProperty(lines, fc.boolean(), fc.array(fc.nat(5)), async (list, isEnded, lengths) => {
      const bytes = new TextEncoder().encode(list.join("\n") + (isEnded && list.length > 0 ? "\n" : ""));
      expect(await Array.fromAsync(toLines(cut(bytes, lengths)))).toEqual(list);
    }),
  );
});

test("toLines() knows both kinds of ends, and empty lines", async () => {
  const bytes = new TextEncoder().encode("one\r\n\ntwo\r\n");
  expect(await Array.fromAsync(toLines(cut(bytes, [4])))).toEqual(["one", "", "two"]);
});
