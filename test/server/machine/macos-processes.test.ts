import { describe, expect, test } from "bun:test";
import { parsePs, parseTime } from "../../../src/server/machine/macos-processes.ts";

// As ps(1) of macOS 14 prints it; the last is one whose command line is another user's secret, and empty.
const PROCESSES = `    1     0     0 root             Ss   12:34.56  12345 Fri Nov 28 08:15:01 2025 /sbin/launchd
  412     1   501 ann              S     0:01.02  45678 Fri Nov 28 08:16:44 2025 /Applications/Google Chrome.app/Contents/MacOS/Google Chrome --type=renderer  --x
 9001   412   501 ann              U+    0:00.00    256 Sat Nov 29 23:59:59 2025 cat caf\xc3\xa9 \xff
 9002   412   501 ann              Z     0:00.00      0 Sat Nov 29 23:59:59 2025 
 9003   412   501 ann              R     0:00.00      8 Sat Nov 29 23:59:59 2025 /bin/ps -axww
`;
const NAMES = `    1 launchd
  412 Google Chrome He
 9001 cat
 9002 zsh
`;

describe("parsePs()", () => {
  const processes = parsePs(PROCESSES, NAMES);

  test("reads every row that both lists have, whatever stands in names and command lines", () => {
    expect(
      processes.map(({ pid, ppid, user, uid, state, name }) => [pid, ppid, user, uid, state, name]),
    ).toEqual([
      [1, 0, "root", 0, "sleeping", "launchd"],
      [412, 1, "ann", 501, "sleeping", "Google Chrome He"],
      [9001, 412, "ann", 501, "blocked", "cat"],
      [9002, 412, "ann", 501, "zombie", "zsh"],
    ]);
  });

  test("keeps a command line as the one line that ps tells, byte by byte", () => {
    expect(processes.map(({ argv, isLine }) => [argv, isLine])).toEqual([
      [["/sbin/launchd"], true],
      [["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome --type=renderer  --x"], true],
      [[{ bytes: Buffer.from("cat caf\xc3\xa9 \xff", "latin1").toString("base64") }], true],
      [[], undefined],
    ]);
  });

  test("reads times and memory", () => {
    expect(processes[0]).toMatchObject({
      cpuMs: 754_560,
      rssBytes: 12345 * 1024,
      startedAt: new Date(2025, 10, 28, 8, 15, 1).toISOString(),
      // As the identity of a job's process has it, which is asked of ps too.
      startTime: "Fri Nov 28 08:15:01 2025",
    });
  });
});

test.each([
  ["0:00.00", 0],
  ["12:34.56", 754_560],
  ["100:00.00", 6_000_000],
  ["3:01:02", 10_862_000],
  ["2-03:01:02", 183_662_000],
])("parseTime() reads %s", (text, ms) => {
  expect(parseTime(text)).toBe(ms);
});
