import { expect, test } from "bun:test";
import fc from "fast-check";
import { ScreenModes } from "../../src/cli/screen-modes.ts";

/** What undoes what these pieces have done. */
function undo(...pieces: readonly string[]): string {
  const modes = new ScreenModes();
  for (const piece of pieces) modes.watch(Buffer.from(piece));
  return modes.toReset();
}

test.each([
  ["plain text\r\n\x1b[31mred\x1b[0m\x1b[2J\x1b[3;4H", ""],
  ["\x1b[?2004h$ ", "\x1b[?2004l\x1b[0m"],
  ["\x1b[?2004h$ \x1b[?2004l", "\x1b[0m"],
  ["\x1b[?25l", "\x1b[?25h\x1b[0m"],
  ["\x1b[?1049h\x1b[?1h\x1b=\x1b[?1000;1006h", "\x1b>\x1b[?1l\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[0m"],
  ["\x1b[>4;2m\x1b[1;29r", "\x1b[>4m\x1b7\x1b[r\x1b8"],
  ["\x1b[>4;2m\x1b[1;29r\x1b[r\x1b[>4;m", ""],
  ["\x1b[?1049h\x1bc", ""],
  ["\x1b[\x1b[?7l", "\x1b[?7h\x1b[0m"],
  [`\x1b[${"1;".repeat(99)}h\x1b[?5h`, "\x1b[?5l\x1b[0m"],
])("what undoes %j is %j, however it is cut", (written, expected) => {
  expect(undo(written)).toBe(expected);
  expect(undo(...written)).toBe(expected);
});

test("ScreenModes does not care where what is written is cut", () => {
  const part = fc.constantFrom(
    "\x1b",
    "[",
    "?",
    "1049",
    "25",
    ";",
    "h",
    "l",
    "r",
    "=",
    ">",
    "4",
    "m",
    "x",
    "c",
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
      const whole = parts.join("");
      expect(undo(...whole)).toBe(undo(whole));
    }),
  );
});
