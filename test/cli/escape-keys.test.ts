import { expect, test } from "bun:test";
import fc from "fast-check";
import { EscapeKeys, parseEscape, type Typed } from "../../src/cli/escape-keys.ts";

/** What is read of keys that come in these pieces: bytes that follow each other are one text. */
function read(escape: number | undefined, pieces: readonly string[]): readonly string[] {
  const keys = new EscapeKeys(escape);
  const typed: Typed[] = pieces.flatMap((piece) => [...keys.read(Buffer.from(piece))]);
  return typed
    .reduce<string[]>(
      (said, one) => {
        if (typeof one === "string") return [...said, `<${one}>`, ""];
        return [...said.slice(0, -1), (said.at(-1) ?? "") + Buffer.from(one).toString()];
      },
      [""],
    )
    .filter((text) => text !== "");
}

test.each([
  ["~.", ["<disconnect>"]],
  ["~d", ["<detach>"]],
  ["~\x1a", ["<suspend>"]],
  ["ls\r~?", ["ls\r", "<help>"]],
  ["ls\n~.x", ["ls\n", "<disconnect>", "x"]],
  ["a~.", ["a~."]],
  ["~~.", ["~."]],
  ["~~~.", ["~~."]],
  ["~x~.", ["~x~."]],
  ["~\r~.", ["~\r", "<disconnect>"]],
  ["~?~d", ["<help>", "<detach>"]],
])("EscapeKeys reads %j as %j, however it is cut", (text, expected) => {
  expect(read(0x7e, [text])).toEqual(expected);
  expect(read(0x7e, [...text])).toEqual(expected);
});

test("EscapeKeys changes nothing without an escape character, or where none is typed", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" })), (pieces) => {
      const text = pieces.join("");
      expect(read(undefined, pieces).join("")).toBe(text);
      const plain = pieces.map((piece) => piece.replaceAll("~", "-"));
      expect(read(0x7e, plain).join("")).toBe(plain.join(""));
    }),
  );
});

test("EscapeKeys does not care where what is typed is cut", () => {
  const keys = fc.string({
    unit: fc.constantFrom("~", ".", "d", "?", "\r", "\n", "\x1a", "x"),
    maxLength: 12,
  });
  fc.assert(
    fc.property(keys, (text) => {
      expect(read(0x7e, [...text])).toEqual(read(0x7e, [text]));
    }),
  );
});

test("parseEscape reads a character, one with Ctrl, or none, and refuses the rest", () => {
  expect(["~", "^B", "^]", "none"].map(parseEscape)).toEqual([0x7e, 2, 0x1d, undefined]);
  for (const text of ["", "ab", "é", "^", "\n"].filter((text) => text !== "^"))
    expect(() => parseEscape(text)).toThrow("--escape");
});
