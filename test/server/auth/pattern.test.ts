import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesWords } from "../../../src/server/auth/pattern.ts";

describe("matchesWords()", () => {
  test.each([
    ["git fetch *", "git fetch origin", true],
    ["git fetch *", "git fetch", false],
    ["git fetch *", "git fetch origin main", false],
    ["git fetch *", "git fetch --upload-pack=evil", false],
    ["git fetch *", "git fetch -oProxyCommand=evil", false],
    ["git fetch *", "git fetch -", false],
    ["git fetch *", "git -c fetch", false],
    ["git fetch *", "git -c core.sshCommand=evil fetch origin", false],
    ["git fetch *", "./git fetch origin", false],
    ["git fetch *", "GIT fetch origin", false],
    ["git fetch **", "git fetch", true],
    ["git fetch **", "git fetch a b c", true],
    ["git fetch **", "git fetch a --force c", false],
    ["git ** fetch", "git a fetch", true], // only the last word is open; elsewhere it is a glob as any other
    ["git ** fetch", "git a b fetch", false],
    ["ls -l *", "ls -l /srv", true],
    ["ls -? *", "ls -l /srv", true],
    ["ls [-]l *", "ls -l /srv", false],
    ["ls ?l *", "ls -l /srv", false],
    ["git log -- **", "git log -- a", true],
    ["git log -- **", "git log -- --all", false],
    ["make test-[0-9]", "make test-7", true],
    ["make test-[0-9]", "make test-77", false],
    ["**", "anything at all", true],
  ])("%p takes %p: %p", (pattern, words, expected) => {
    expect(matchesWords(pattern.split(" "), words.split(" "))).toBe(expected);
  });

  test("takes no longer than a moment, whatever is compared", () => {
    const began = performance.now();
    expect(matchesWords([`*${"a".repeat(4_000)}b`], ["a".repeat(100_000)])).toBe(false);
    expect(matchesWords(["*a".repeat(2_000)], [`${"a".repeat(4_000)}b`])).toBe(false);
    expect(matchesWords(["*"], ["a".repeat(100_000)])).toBe(true);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test("never takes an option that the pattern does not begin with a dash itself", () => {
    const pattern = fc.array(fc.stringMatching(/^[a*?[\]!^\\-]{1,4}$/), { minLength: 1, maxLength: 4 });
    const words = fc.array(fc.stringMatching(/^-[a*?-]{0,3}$|^[a-]{0,3}$/), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(pattern, words, (pattern, words) => {
        if (!matchesWords(pattern, words)) return;
        for (const [index, word] of words.entries())
          if (word.startsWith("-")) expect(pattern[index]).toStartWith("-");
      }),
      { numRuns: 20_000 },
    );
  });
});
