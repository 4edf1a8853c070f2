import { expect, test } from "bun:test";
import fc from "fast-check";
import { LineSplitter, MAX_LINE_BYTES, toText } from "../../src/cli/lines.ts";

test("LineSplitter gives every byte once, in whole lines, and says where they end", () => {
  const chunk = fc.string({ unit: fc.constantFrom("a", "\n", "\r"), maxLength: 8 });
  fc.assert(
    fc.property(fc.array(chunk), (chunks) => {
      const splitter = new LineSplitter();
      const lines = chunks.flatMap((text) => {
        const bytes = Buffer.from(text);
        const pushed = [...splitter.push(bytes)];
        for (const { end } of pushed) expect(bytes[end - 1]).toBe(10);
        return pushed.map(({ line }) => Buffer.from(line).toString());
      });
      const rest = splitter.take();
      expect(lines.every((line) => line.indexOf("\n") === line.length - 1)).toBe(true);
      expect(lines.join("") + Buffer.from(rest ?? []).toString()).toBe(chunks.join(""));
      expect([splitter.held, splitter.take()]).toEqual([0, undefined]);
    }),
  );
});

test("LineSplitter holds no more than its limit, of a line that never ends", () => {
  const splitter = new LineSplitter();
  const chunk = new Uint8Array(300_000).fill(97);
  let bytes = 0;
  for (let n = 0; n < 10; n++) {
    for (const { line } of splitter.push(chunk)) bytes += line.length;
    expect(splitter.held).toBeLessThan(MAX_LINE_BYTES);
  }
  expect(bytes + splitter.held).toBe(3_000_000);
});

test("toText() takes off what ends a line, and only that", () => {
  expect(["a\n", "a\r\n", "a", "\n", "a\r"].map((line) => toText(Buffer.from(line)))).toEqual([
    "a",
    "a",
    "a",
    "",
    "a\r",
  ]);
});
