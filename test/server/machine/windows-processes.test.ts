import { describe, expect, test } from "bun:test";
import { parseCim, parseLine } from "../../../src/server/machine/windows-processes.ts";

// As PowerShell 5.1 of Windows 11 writes it, with the mark at its beginning that UTF-8 has there.
const LIST = `\ufeff{"processes":[{"pid":0,"ppid":0,"name":"System Idle Process","line":null,"user":null,"ticks":"1234567890000","rss":"8192","start":null},{"pid":4712,"ppid":884,"name":"git.exe","line":"\\"C:\\\\Program Files\\\\Git\\\\git.exe\\"  commit -m \\"caf\u00e9 \\\\\\"x\\\\\\"\\"","user":"ann","ticks":"15625000","rss":"10485760","start":"134087616015000000"}]}\r\n`;

describe("parseCim()", () => {
  test("reads what Windows tells, and leaves out what it does not", () => {
    const [idle, git] = parseCim(LIST);
    expect(idle).toMatchObject({ pid: 0, user: "", argv: [], cpuMs: 123_456_789, state: "unknown" });
    expect(idle).not.toHaveProperty("startedAt");
    expect(git).toMatchObject({
      pid: 4712,
      ppid: 884,
      name: "git.exe",
      user: "ann",
      cpuMs: 1_563,
      rssBytes: 10 * 1024 * 1024,
      startedAt: new Date(134087616015000000 / 10_000 - 11_644_473_600_000).toISOString(),
      startTime: "134087616015000000",
      argv: ["C:\\Program Files\\Git\\git.exe", "commit", "-m", 'café "x"'],
    });
    expect(git?.startedAt).toStartWith("2025-");
  });

  test("throws on anything else", () => {
    expect(() => parseCim("Get-CimInstance : Access denied")).toThrow();
    expect(() => parseCim(`{"processes":[{"pid":"x"}]}`)).toThrow();
  });
});

// Microsoft's own table, and the first word's rule.
test.each([
  ['x "a b c" d e', ["x", "a b c", "d", "e"]],
  ['x "ab\\"c" "\\\\" d', ["x", 'ab"c', "\\", "d"]],
  ['x a\\\\\\b d"e f"g h', ["x", "a\\\\\\b", "de fg", "h"]],
  ['x a\\\\\\"b c d', ["x", 'a\\"b', "c", "d"]],
  ['x a\\\\\\\\"b c" d e', ["x", "a\\\\b c", "d", "e"]],
  ['x a"b"" c d', ["x", 'ab" c d']],
  ['x "" y', ["x", "", "y"]],
  ["C:\\a\\b.exe\t1", ["C:\\a\\b.exe", "1"]],
  ['"C:\\Program Files\\a\\" b', ["C:\\Program Files\\a\\", "b"]],
  ["alone", ["alone"]],
])("parseLine() reads %s", (line, words) => {
  expect(parseLine(line)).toEqual(words);
});
