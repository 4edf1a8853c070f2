import { expect, test } from "bun:test";
import { escapeBytes, escapeControls, escapeLines, toJsonLine, toJsonText } from "../../src/lib/escape.ts";

const hostile = "a\x1b[2J\x07\r\n\tb\x7f\x9b31mc\u202ed\u2028e";

test("escapeControls() leaves nothing that a terminal obeys, and keeps every letter", () => {
  expect(escapeControls(hostile)).toBe("a\\x1b[2J\\x07\\r\\n\\tb\\x7f\\x9b31mc\\u202ed\\u2028e");
  expect(escapeControls("grün 漢字 🙂 'x'")).toBe("grün 漢字 🙂 'x'");
});

test("escapeLines() keeps line breaks and nothing else", () => {
  expect(escapeLines("a\n\x1b[31mb\r\n")).toBe("a\n\\x1b[31mb\\r\n");
});

test("toJsonLine() means the same, on one line without controls", () => {
  const line = toJsonLine({ [hostile]: hostile });
  expect(JSON.parse(line)).toEqual({ [hostile]: hostile });
  expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028\u202e]/);
});

test("toJsonText() means the same, in lines without other controls", () => {
  const text = toJsonText({ [hostile]: hostile }, 2);
  expect(JSON.parse(text)).toEqual({ [hostile]: hostile });
  expect(text.split("\n")).toHaveLength(3);
  expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]/);
});

test("escapeBytes() shows text as it is, harmless, and every other byte by its number", () => {
  const show = (text: string) => escapeBytes(Buffer.from(text, "latin1"));
  expect([show("a\xffb"), show("\xc3("), show("\n\x1b"), show("\xc2\x9b")]).toEqual([
    "a\\xffb",
    "\\xc3(",
    "\\n\\x1b",
    "\\x9b",
  ]);
  expect(escapeBytes(Buffer.from("grün \ufffd 🙂"))).toBe("grün \ufffd 🙂");
});
