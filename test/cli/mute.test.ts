import { describe, expect, test } from "bun:test";
import { Terminal } from "@xterm/headless";
import fc from "fast-check";
import { Mute } from "../../src/cli/mute.ts";

const bytes = (text: string) => Buffer.from(text, "utf8");
const pass = (text: string, mute = new Mute()) => Buffer.from(mute.pass(bytes(text))).toString("utf8");

describe("Mute keeps from a terminal", () => {
  test.each([
    ["\x1b[c", "its kind"],
    ["\x1b[>0c", "its version"],
    ["\x1b[=c", "its number"],
    ["\x1bZ", "its kind, as it was asked long ago"],
    ["\x05", "its answerback"],
    ["\x1b[6n", "where its cursor is"],
    ["\x1b[?6n", "the same with the page"],
    ["\x1b[?996n", "whether it is dark"],
    ["\x1b[?2026$p", "whether it has a mode"],
    ["\x1b[4$p", "the same of a public one"],
    ["\x1b[>q", "its name"],
    ["\x1b[x", "its parameters"],
    ["\x1b[18t", "its size"],
    ["\x1b[21t", "its title"],
    ["\x1b[?u", "its keyboard"],
    ["\x1b[?4m", "its keys"],
    ["\x1b[?2;1;0S", "its graphics"],
    ["\x1b[1;1;1;1;2;2*y", "a checksum of its cells"],
    ["\x1b]10;?\x07", "its colour"],
    ["\x1b]4;1;?\x1b\\", "a colour of its palette"],
    ["\x1b]52;c;?\x07", "its clipboard"],
    ["\x1b]52;c;aGVsbG8=\x07", "what to put there"],
    ["\x1bP$qm\x1b\\", "how it writes"],
    ["\x1bP+q544e\x1b\\", "its terminfo"],
    ["\x1b_Gi=1,a=q;AAAA\x1b\\", "whether it shows pictures"],
    ["\x1b[?1000h", "to tell of the mouse"],
    ["\x1b[?1004h", "to tell of its focus"],
    ["\u009a", "its kind, in one character"],
    ["\x1b]0;never ended\x18", "half a title"],
  ])("%j, which asks for %s", (question) => {
    expect(pass(`one${question}two`)).toBe("onetwo");
  });
});

test("Mute keeps from a terminal what begins a question in one character, or hides one in a sequence for another", () => {
  expect(pass("one\u009bctwo")).toBe("onectwo");
  expect(pass("one\x1bPtmux;\x1b\x1b[c\x1b\\two")).toBe("one\x1b\\two");
});

describe("Mute passes on", () => {
  test.each([
    "text, 漢字, é and \u{1f600}\r\n",
    "\x1b[31mred\x1b[m",
    "\x1b[?1049h\x1b[2J\x1b[H",
    "\x1b[>4;2m\x1b[>1u",
    "\x1b[22;0;0t",
    "\x1b[5 q",
    "\x1b]2;a title?\x07",
    "\x1b]8;;https://example.org/?q\x1b\\link\x1b]8;;\x1b\\",
    "\x1b(0qqq\x1b(B",
    "\x1bPq#0;2;0;0;0#0~~\x1b\\",
    "\xa0\xbf",
  ])("%j as it is", (text) => {
    expect(pass(text)).toBe(text);
  });

  test("the other modes of a sequence that has some in which a terminal sends", () => {
    expect(pass("\x1b[?1000;25;1006h")).toBe("\x1b[?25h");
    expect(pass("\x1b[?1000l")).toBe("\x1b[?1000l");
  });

  test("the same however it comes in pieces", () => {
    const part = fc.constantFrom(
      "text",
      "漢",
      "\x1b[31m",
      "\x1b[c",
      "\x1b]10;?\x07",
      "\x1b]2;t\x1b\\",
      "\x1bP$qm\x1b\\",
    );
    const text = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, fc.array(fc.nat(60), { maxLength: 8 }), (text, cuts) => {
        const all = bytes(text);
        const mute = new Mute();
        const ends = [...cuts.filter((cut) => cut < all.length).toSorted((a, b) => a - b), all.length];
        const shown = ends.map((end, index) =>
          Buffer.from(mute.pass(all.subarray(ends[index - 1] ?? 0, end))),
        );
        expect(Buffer.concat(shown).toString()).toBe(pass(text));
      }),
    );
  });
});

test("Mute leaves nothing that makes a terminal answer, whatever it is given", async () => {
  const anything = fc.array(
    fc.oneof(
      fc.constantFrom(
        "\x1b[",
        "\x1b]",
        "\x1bP",
        "\x1b\\",
        "\x07",
        "\x1b",
        "\x18",
        "?",
        ">",
        "$",
        ";",
        "c",
        "n",
        "p",
        "q",
      ),
      fc.constantFrom("6n", "?", "10;?", "$qm", "[c", "0", "Z", "t", "18", "a"),
    ),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(anything, async (parts) => {
      const terminal = new Terminal({ cols: 20, rows: 5, allowProposedApi: true, logLevel: "off" });
      let answered = "";
      terminal.onData((said) => (answered += said));
      await new Promise<void>((done) => terminal.write(pass(parts.join("")), done));
      expect(answered).toBe("");
    }),
    { numRuns: 300 },
  );
});

test("Mute restores what a program that was stopped in the middle has left, and nothing else", () => {
  const mute = new Mute();
  pass("\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l\x1b[?2004h\x1b[2;5r\x1b[?7l\x1b[?2004l\x1b[?1000h", mute);
  expect(mute.restore()).toBe("\x1b>\x1b7\x1b[r\x1b8\x1b[?1l\x1b[?25h\x1b[?7h\x1b[?1049l\x1b[0m");
  expect(new Mute().restore()).toBe("");
});
