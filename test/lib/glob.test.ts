import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Glob, isPattern } from "../../src/lib/glob.ts";

function matches(pattern: string | Uint8Array, name: string | Uint8Array): boolean {
  return new Glob(Buffer.from(pattern)).matches(Buffer.from(name));
}

describe("a pattern", () => {
  const cases = [
    ["*", "", true],
    ["*", "anything at all", true],
    ["*.log", "a.log", true],
    ["*.log", ".log", true],
    ["*.log", "a.log.gz", false],
    ["a*b*c", "axxbyyc", true],
    ["a*b*c", "axxbyy", false],
    ["a*ab", "aaab", true],
    ["?", "", false],
    ["?", "ä", true],
    ["?", "🙂", true],
    ["??", "ä", false],
    ["[abc]x", "bx", true],
    ["[!abc]x", "bx", false],
    ["[^abc]x", "dx", true],
    ["[a-f0-9]", "e", true],
    ["[a-f0-9]", "g", false],
    ["[]x]", "]", true],
    ["[!]x]", "]", false],
    ["[a-]", "-", true],
    ["[α-ω]", "λ", true],
    ["[a", "[a", true],
    ["\\*", "*", true],
    ["\\*", "x", false],
    ["[\\]]", "]", true],
    ["a\\", "a\\", true],
    ["line\nbreak", "line\nbreak", true],
    ["*", "-rf\n\x1b", true],
  ] as const;
  test.each(cases)("%j and the name %j: %p", (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  test("takes a byte that is no UTF-8 for one character, and no other byte for it", () => {
    const name = Uint8Array.of(0x61, 0xff, 0x62);
    expect(matches("a?b", name)).toBe(true);
    expect(matches("a*", name)).toBe(true);
    expect(matches(name, name)).toBe(true);
    expect(matches(name, Uint8Array.of(0x61, 0xfe, 0x62))).toBe(false);
    expect(matches("a\ufffdb", name)).toBe(false);
  });
});

test("a name with every magic character escaped means exactly itself", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (name, other) => {
      const escaped = [...name].flatMap((byte) =>
        "*?[]\\".includes(String.fromCharCode(byte)) ? [0x5c, byte] : [byte],
      );
      expect(matches(Uint8Array.from(escaped), name)).toBe(true);
      expect(matches(Uint8Array.from(escaped), other)).toBe(Buffer.from(other).equals(Buffer.from(name)));
    }),
  );
});

test("a pattern of stars and letters takes what a regular expression takes", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 12 });
  const name = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 16 });
  fc.assert(
    fc.property(word, name, (pattern, name) => {
      const source = pattern.replaceAll("*", ".*").replaceAll("?", ".");
      expect(matches(pattern, name)).toBe(new RegExp(`^${source}$`).test(name));
    }),
  );
});

test("a pattern that ruins a backtracking matcher takes no time", () => {
  const start = performance.now();
  expect(matches(`${"*a".repeat(2_000)}b`, "a".repeat(4_000))).toBe(false);
  expect(matches(`${"a*".repeat(30)}b`, "a".repeat(255))).toBe(false);
  // Milliseconds; it takes about 20.
  expect(performance.now() - start).toBeLessThan(2_000);
});

test("isPattern() tells a pattern from a plain name", () => {
  expect(["a*", "a?", "[a]", "\\a"].map((name) => isPattern(Buffer.from(name)))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(isPattern(Buffer.from("a]{b}~!"))).toBe(false);
});
