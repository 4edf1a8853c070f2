import { expect, test } from "bun:test";
import { toTaskTexts } from "../../src/cli/task-texts.ts";
import { forPeople } from "../../src/cli/value-text.ts";

const ID = "01990000-0000-7000-8000-000000000001";

/** The text that is shown of a value which a task's process has told. */
function show(value: unknown): string {
  const words = forPeople({ screen: () => undefined });
  return toTaskTexts({ type: "value", number: 0, at: 0, value }, words)
    .map((packet) => ("bytes" in packet ? Buffer.from(packet.bytes).toString() : packet.type))
    .join("");
}

test("toTaskTexts() shows what a task's process tells in words, one line each", () => {
  expect(show(["ready", null, { restored: false }])).toBe("ready\n");
  expect(show(["ready", null, { restored: true }])).toBe("ready, with the state that was saved last\n");
  expect(show(["failed", null, { name: "TypeError", message: "no" }])).toBe("init threw TypeError: no\n");
  expect(show(["began", ID])).toBe(`${ID} began\n`);
  expect(show(["responded", ID, { sum: 3 }])).toBe(`${ID} answered {"sum":3}\n`);
  expect(show(["finished", ID, { responded: true }])).toBe(`${ID} finished\n`);
  expect(show(["threw", ID, { code: "threw", message: "no" }])).toBe(`${ID} threw Error: no\n`);
  expect(show(["exited", ID])).toBe(`${ID} exited\n`);
});

test("toTaskTexts() shows nothing of states that are saved, and of what the server asks the process", () => {
  expect(show(["saved", ID, "a large state"])).toBe("");
  expect(show(["marked", ID, { running: null }])).toBe("");
});

test("toTaskTexts() shows any other value as it is shown of every job", () => {
  expect(show("a line")).toBe("a line\n");
  expect(show([1, 2])).toBe("[1,2]\n");
  expect(show({ type: "ready" })).toBe('{"type":"ready"}\n');
});
