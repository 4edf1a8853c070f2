import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { FrontMessage } from "../../../src/keeper/link.ts";
import { HolderId, JobId, WriterId } from "../../../src/protocol/id.ts";
import { Reminder } from "../../../src/server/keepers/reminder.ts";
import { createStart } from "../../support/start.ts";

const job = v.parse(JobId, Bun.randomUUIDv7());
const other = v.parse(JobId, Bun.randomUUIDv7());
const holder = v.parse(HolderId, crypto.randomUUID());
const writer = v.parse(WriterId, crypto.randomUUID());

function setup() {
  const reminder = new Reminder();
  const note = (message: FrontMessage, isSent = true) => reminder.note({ message }, isSent);
  const write = (offset: number, text: string) =>
    reminder.note(
      { message: { type: "input", job, writer, offset }, bytes: new TextEncoder().encode(text) },
      true,
    );
  const holds = () => [...reminder.list()].map(({ message }) => message);
  const inputs = () =>
    [...reminder.list()].map(({ message, bytes }) =>
      message.type === "input" ? `${message.offset}:${new TextDecoder().decode(bytes)}` : message.type,
    );
  return { reminder, note, write, holds, inputs };
}

describe("Reminder of holds", () => {
  test("tells each where it has come, and which streams it reads no more", () => {
    const { note, holds } = setup();
    note({ type: "attach", job, holder, position: 10 });
    note({ type: "hold", job, holder, position: 500 });
    note({ type: "discard", job, holder, stream: "stderr" });
    expect(holds()).toEqual([
      { type: "attach", job, holder, position: 500 },
      { type: "discard", job, holder, stream: "stderr" },
    ]);
  });

  test("tells of the one that a job was started with", () => {
    const { note, holds } = setup();
    const start = createStart({ job });
    note({ type: "spawn", request: 1, start, env: {}, umask: 0, stdin: false, holder });
    expect(holds()).toEqual([{ type: "attach", job, holder, position: 0 }]);
  });

  test("is silent of those that were released or are orphans", () => {
    for (const type of ["release", "orphan"] as const) {
      const { note, holds } = setup();
      note({ type: "attach", job, holder, position: 10 });
      note({ type, job, holder });
      note({ type: "hold", job, holder, position: 20 });
      expect(holds()).toEqual([]);
    }
  });

  test("tells of a release that could not be sent, but not of an orphan: every hold is one by then", () => {
    const { note, holds } = setup();
    note({ type: "attach", job, holder, position: 10 });
    note({ type: "attach", job: other, holder, position: 10 });
    note({ type: "release", job, holder }, false);
    note({ type: "orphan", job: other, holder }, false);
    expect(holds()).toEqual([{ type: "release", job, holder }]);
  });

  test("forgets a job with everything", () => {
    const { reminder, note, write, holds } = setup();
    note({ type: "attach", job, holder, position: 10 });
    write(0, "input");
    reminder.forget(job);
    expect(holds()).toEqual([]);
  });
});

describe("Reminder of input", () => {
  test("tells what the keeper does not hold, in order, and the end of it", () => {
    const { reminder, note, write, inputs } = setup();
    write(0, "abc");
    write(3, "def");
    write(6, "ghi");
    note({ type: "end_input", job, writer, offset: 9 });
    reminder.taken(job, writer, 5);
    expect(inputs()).toEqual(["3:def", "6:ghi", "end_input"]);
    reminder.taken(job, writer, 9);
    expect(inputs()).toEqual(["end_input"]);
  });

  test("is silent once the writer is closed", () => {
    const { reminder, note, write, inputs } = setup();
    write(0, "abc");
    note({ type: "end_input", job, writer, offset: 3 });
    reminder.closed(job, writer);
    expect(inputs()).toEqual([]);
  });

  test("keeps bytes as they were, whatever becomes of the buffer", () => {
    const { reminder, inputs } = setup();
    const bytes = new TextEncoder().encode("abc");
    reminder.note({ message: { type: "input", job, writer, offset: 0 }, bytes }, true);
    bytes.fill(0);
    expect(inputs()).toEqual(["0:abc"]);
  });
});
