import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type IBuffer, Terminal } from "@xterm/headless";
import fc from "fast-check";
import { Screen } from "../../src/cli/screen.ts";
import { toStyle } from "../../src/cli/style.ts";

setDefaultTimeout(60_000);

const SIZE = { columns: 20, rows: 6 };

/** Modes that the emulator tells of when it is asked. */
const MODES = [1, 6, 7, 9, 25, 45, 66, 1000, 1002, 1003, 1004, 1006, 1016, 2004];

/** A terminal that somebody looks at. */
function createTerminal({ columns, rows } = SIZE) {
  const terminal = new Terminal({ cols: columns, rows, allowProposedApi: true, logLevel: "off" });
  const write = (text: string) => new Promise<void>((done) => terminal.write(text, done));
  const ask = async (question: string) => {
    let answer = "";
    using _listening = { [Symbol.dispose]: () => listener.dispose() };
    const listener = terminal.onData((said) => (answer += said));
    await write(question);
    return answer;
  };
  const observe = async () => {
    const { active, normal, alternate } = terminal.buffer;
    return {
      screen: active.type,
      normal: toCells(normal, terminal),
      alternate: active.type === "alternate" ? toCells(alternate, terminal) : [],
      cursor: [active.cursorX, active.cursorY],
      region: await ask("\x1bP$qr\x1b\\"),
      modes: await ask(MODES.map((mode) => `\x1b[?${mode}$p`).join("")),
      insert: terminal.modes.insertMode,
    };
  };
  return { terminal, write, observe };
}

/** A row per line: each cell's text, and its style where that changes. What was never written looks like a space. */
function toCells(buffer: IBuffer, { cols, rows }: Terminal): string[] {
  return Array.from({ length: rows }, (_, row) => {
    const line = buffer.getLine(buffer.baseY + row);
    let before = "";
    return Array.from({ length: cols }, (_, column) => {
      const cell = line?.getCell(column);
      if (cell === undefined || cell.getWidth() === 0) return "";
      const style = toStyle(cell);
      const shown = `${style === before ? "" : style}${cell.getChars() || " "}`;
      before = style;
      return shown;
    }).join("");
  });
}

async function paint(...written: readonly (string | Uint8Array)[]): Promise<string> {
  using screen = await Screen.open(SIZE);
  for (const text of written) screen.write(text);
  return screen.paint();
}

const number = (max: number) => fc.integer({ min: 1, max }).map(String);
const control = (final: string, ...params: fc.Arbitrary<string>[]) =>
  fc.tuple(...params).map((values) => `\x1b[${values.join(";")}${final}`);
const color = fc.oneof(
  fc.constantFrom(
    "0",
    "1",
    "2",
    "3",
    "4",
    "4:3",
    "5",
    "7",
    "8",
    "9",
    "53",
    "21",
    "22",
    "24",
    "27",
    "39",
    "49",
  ),
  fc.constantFrom("31", "42", "93", "104", "38;5;123", "48;5;7", "38;2;1;2;3", "48;2;250;0;9", "4:3;58;5;9"),
);
/** Both as they are at first, since the emulator restores them to what they were last. */
const RESTORED = "\x1b[59m\x1b(B\x1b)B\x0f";

/** What programs write, and what nobody would. */
const token = fc.oneof(
  { arbitrary: fc.string({ minLength: 1, maxLength: 30, unit: fc.constantFrom(..."abq xyz0") }), weight: 8 },
  { arbitrary: fc.constantFrom("\r\n", "\n", "\r", "\b", "\t"), weight: 4 },
  fc.constantFrom("漢字", "e\u0301", "漢", "한국어 한국어"),
  { arbitrary: control("H", number(7), number(22)), weight: 3 },
  fc
    .tuple(fc.constantFrom(..."ABCDEFGd@PXLMSTJK"), number(4))
    .map(([final, count]) => `\x1b[${count}${final}`),
  fc.constantFrom("\x1b[J", "\x1b[1;1H\x1b[1J", "\x1b[2J", "\x1b[K", "\x1b[1K", "\x1b[2K"),
  { arbitrary: control("m", color), weight: 4 },
  fc.tuple(number(5), number(6)).map(([top, bottom]) => `\x1b[${top};${bottom}r`),
  // The emulator puts aside the charset in use, but not which one that is; and not the colour of underlines.
  fc.constantFrom("\x1b7", `\x1b8${RESTORED}`, "\x1b[s", `\x1b[u${RESTORED}`),
  fc.constantFrom("\x1bD", "\x1bM", "\x1bE", "\x1b=", "\x1b>"),
  fc.constantFrom("\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b[4h", "\x1b[4l"),
  fc
    .tuple(fc.constantFrom(1, 6, 7, 25, 66, 1000, 1002, 1004, 1006, 2004), fc.constantFrom("h", "l"))
    .map(([mode, isOn]) => `\x1b[?${mode}${isOn}`),
  fc.constantFrom("\x1b[m\x1b[r\x1b[?1049h", `\x1b[r\x1b[?1049l${RESTORED}`),
  fc.constantFrom(
    "\x1bc\x1b[?25h", // the emulator goes on hiding the cursor, which a terminal that is reset shows
    "\x1b[?2004l\x1b[?1004l\x1b[!p",
    "\x1b[c",
    "\x1b[6n",
    "\x1b]2;title\x07",
    "\x1b]10;?\x07",
  ),
);
const stream = fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join(""));

describe("Screen.paint() brings a fresh terminal to the same state", () => {
  test("of cells, cursor, region and modes, whatever was written", async () => {
    await fc.assert(
      fc.asyncProperty(stream, async (written) => {
        const [original, copy] = [createTerminal(), createTerminal()];
        await original.write(written);
        await copy.write(await paint(written));
        expect(await copy.observe()).toEqual(await original.observe());
      }),
      { numRuns: 200 },
    );
  });

  test("so that all that is written afterwards looks the same too", async () => {
    await fc.assert(
      fc.asyncProperty(stream, stream, async (before, after) => {
        const [original, copy] = [createTerminal(), createTerminal()];
        await original.write(`${before}\x07${after}`);
        await copy.write(`${await paint(before)}\x07${after}`);
        expect(await copy.observe()).toEqual(await original.observe());
      }),
      { numRuns: 200 },
    );
  });
});

describe("Screen", () => {
  test("answers nothing that it is asked in what it is fed, and paints none of the questions", async () => {
    const painting = await paint("\x1b[c\x1b[>c\x1b[6n\x1b]10;?\x07\x1b]4;1;?\x07\x1bP+q544e\x1b\\\x05ok");
    const { terminal, write } = createTerminal();
    let answered = "";
    terminal.onData((said) => (answered += said));
    await write(painting);
    expect(answered).toBe("");
    expect(terminal.buffer.active.getLine(0)?.translateToString(true)).toBe("ok");
  });

  test("counts an emoji as the two columns that programs count it as", async () => {
    expect(await paint("\u{1f600}x")).toContain("\x1b[1;3Hx");
  });

  test("keeps what stands on the normal screen behind a program's own, which comes back with its end", async () => {
    const { write, observe } = createTerminal();
    await write(await paint("$ vi notes\r\n\x1b[?1049h\x1b[H~\x1b[3;3Hnotes"));
    expect((await observe()).alternate[2]).toContain("notes");
    await write("\x1b[?1049l$ ");
    const { screen, normal, cursor } = await observe();
    expect([screen, normal[0]?.slice(4, 14), normal[1]?.slice(4, 6), cursor]).toEqual([
      "normal",
      "$ vi notes",
      "$ ",
      [2, 1],
    ]);
  });

  test("brings keys, the cursor's shape and the title over", async () => {
    const painting = await paint("\x1b[>4;2m\x1b[>1u\x1b[5 q\x1b]0;a title\x07");
    for (const part of ["\x1b[>4;2m", "\x1b[>1u", "\x1b[5 q", "\x1b]2;a title\x07"])
      expect(painting).toContain(part);
  });

  test("survives what is too much for the emulator, shows what there was, and says that it is not sure", async () => {
    using screen = await Screen.open(SIZE);
    screen.write("one\x1b[6;1Hlast");
    expect(screen.isSound).toBe(true);
    screen.write("\x1b[1;1H\x1b[6;20Hx\x1b[1J");
    screen.write("\x1b[2;1Htwo");
    expect(screen.isSound).toBe(false);
    expect(screen.paint()).toContain("two");
  });

  test("takes no longer over a sequence that says how many times than over another", async () => {
    using screen = await Screen.open(SIZE);
    const begin = performance.now();
    for (const final of "ILMPSTXZ@b") screen.write(`a\x1b[2147483647${final}`);
    expect(performance.now() - begin).toBeLessThan(1_000);
  });

  test("gives up a sequence whose end is missing", async () => {
    using screen = await Screen.open(SIZE);
    screen.write("one\x1b]0;title without an e");
    screen.interrupt();
    screen.write("two");
    expect(screen.paint()).toContain("onetwo");
  });

  test("takes a new size, to which long lines are fitted", async () => {
    using screen = await Screen.open(SIZE);
    screen.write("0123456789abcdefghijklm\r\n");
    screen.resize({ columns: 30, rows: 5 });
    expect(screen.size).toEqual({ columns: 30, rows: 5 });
    const { write, observe } = createTerminal({ columns: 30, rows: 5 });
    await write(screen.paint());
    expect((await observe()).normal[0]).toContain("0123456789abcdefghijklm");
  });
});
