import { describe, expect, test } from "bun:test";
import { createLog, describeError, LOG_LEVELS, type LogFormat, type LogLevel } from "../../src/lib/log.ts";

function setup(level: LogLevel = "debug", format: LogFormat = "text") {
  const lines: string[] = [];
  const now = () => new Date("2026-01-02T03:04:05.678Z");
  return { lines, log: createLog({ level, format, write: (line) => lines.push(line), now }) };
}

test("createLog writes time, level, message and fields as text", () => {
  const { lines, log } = setup();
  log.warn("disk nearly full", { free: 12, path: "/a b" });
  log.info("started");
  expect(lines).toEqual([
    '2026-01-02T03:04:05.678Z warn  disk nearly full free=12 path="/a b"',
    "2026-01-02T03:04:05.678Z info  started",
  ]);
});

test("createLog writes one JSON object per line", () => {
  const { lines, log } = setup("debug", "json");
  log.error("failed", { job: 7 });
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { time: "2026-01-02T03:04:05.678Z", level: "error", message: "failed", job: 7 },
  ]);
});

test.each(LOG_LEVELS.map((level, index) => [level, LOG_LEVELS.slice(0, index + 1)] as const))(
  "createLog of level %s writes it and what is louder",
  (level, expected) => {
    const { lines, log } = setup(level, "json");
    for (const own of LOG_LEVELS) log[own]("said");
    expect(lines.map((line) => JSON.parse(line).level)).toEqual([...expected]);
  },
);

describe("createLog keeps to one line", () => {
  const forged = 'name\n2026-01-02T03:04:05.678Z error forged\r\u001b[31m"';

  test.each(["text", "json"] as const)("in %s, whatever a message or a field holds", (format) => {
    const { lines, log } = setup("debug", format);
    log.info(forged, { name: forged });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/[\n\r\u001b]/);
  });
});

test("describeError says the message of each cause, and the stack of the innermost", () => {
  const innermost = new Error("disk full");
  const text = describeError(
    new Error("cannot save", { cause: new Error("cannot write", { cause: innermost }) }),
  );
  expect(text).toStartWith("cannot save: cannot write: ");
  expect(text).toContain("disk full");
  expect(text).toContain("log.test.ts");
});

test("describeError says the message of an error without a stack", () => {
  const late = AbortSignal.abort(new DOMException("Too late", "TimeoutError")).reason;
  late.stack = "";
  expect(describeError(late)).toBe("Too late");
});

test.each([
  ["text", "text"],
  [undefined, "undefined"],
  [7, "7"],
])("describeError says %p as it is", (error, text) => {
  expect(describeError(error)).toBe(text);
});
