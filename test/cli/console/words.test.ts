import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { splitUnfinished, splitWords, writeWord } from "../../../src/cli/console/words.ts";

const texts = (line: string) => splitWords(line).map(({ text }) => text);
/** Any text at all, with what a line gives a meaning more often than chance would. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({ unit: fc.constantFrom(..."a ='\"\\$`n\n\t\x1b\u202e\ud800é/-#"), maxLength: 12 }),
);

describe("splitWords()", () => {
  const cases: readonly (readonly [line: string, words: readonly string[]])[] = [
    ["", []],
    ["  \t ", []],
    ["echo hi", ["echo", "hi"]],
    ["a  b\tc ", ["a", "b", "c"]],
    [`'a b' "c d" e\\ f`, ["a b", "c d", "e f"]],
    [`a'b'"c"d`, ["abcd"]],
    [`'' ""`, ["", ""]],
    [`'\\' "\\\\" "\\n" "\\""`, ["\\", "\\", "\\n", '"']],
    ["$'a\\nb\\t\\x41\\u00e9\\''", ["a\nb\tAé'"]],
    ["$HOME `id` $(id) *.log ~ ; | & > #", ["$HOME", "`id`", "$(id)", "*.log", "~", ";", "|", "&", ">", "#"]],
    ["größe=日本", ["größe=日本"]],
  ];
  test.each(cases)("reads %j as a shell would, and evaluates nothing", (line, words) => {
    expect(texts(line)).toEqual([...words]);
  });

  test.each(["'a", 'a "b', "$'x", "a\\"])("refuses %j, which is not whole", (line) => {
    expect(() => splitWords(line)).toThrow("Cannot read the line: ");
  });

  test("tells how far a word goes without quotes", () => {
    expect(splitWords(`a=1 a='1' "b"=1 c\\=1`).map(({ bare }) => bare)).toEqual([3, 2, 0, 1]);
  });

  test("reads whatever writeWord() writes as that", () => {
    fc.assert(
      fc.property(fc.array(anyText), (words) => {
        const line = words.map(writeWord).join(" ");
        expect(texts(line)).toEqual(words);
        expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
      }),
    );
  });

  test("reads any line or refuses it, and never fails otherwise", () => {
    fc.assert(
      fc.property(anyText, (line) => {
        const { words, last } = splitUnfinished(line);
        expect(last.start).toBeLessThanOrEqual(line.length);
        try {
          const whole = texts(line);
          expect(whole.slice(0, words.length)).toEqual(words.map(({ text }) => text));
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid_input" });
        }
      }),
    );
  });
});

describe("splitUnfinished()", () => {
  test("gives the word that is being written, in whatever quotes", () => {
    expect(splitUnfinished("ls a 'my fi").last).toEqual({ text: "my fi", bare: 0, start: 5 });
    expect(splitUnfinished("ls a\\").last).toEqual({ text: "a", bare: 1, start: 3 });
    expect(splitUnfinished("ls ").last).toEqual({ text: "", bare: 0, start: 3 });
  });
});
