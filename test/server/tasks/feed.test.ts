import { describe, expect, test } from "bun:test";
import type { FrontMessage } from "../../../src/keeper/link.ts";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { type TaskRecord, TaskDecoder } from "../../../src/runner/task/record.ts";
import type { Job } from "../../../src/server/jobs/job.ts";
import type { InputListener } from "../../../src/server/keepers/keeper-link.ts";
import { Feed } from "../../../src/server/tasks/feed.ts";
import { eventually } from "../../support/eventually.ts";

const newId = () => crypto.randomUUID() as ExecutionId;

/** A feed to a keeper that takes what comes whole, at most up to a limit that the test sets. */
function setup() {
  let listener: InputListener | undefined;
  let held = 0;
  let limit = 0;
  /** The keeper has no room, whatever it had promised. */
  let isFull = false;
  const taken: Uint8Array[] = [];
  const job = {
    start: { job: crypto.randomUUID() },
    keeper: {
      listen(_job: string, _writer: string, listening: InputListener) {
        listener = listening;
        return { [Symbol.dispose]() {} };
      },
      send(message: FrontMessage, bytes: Uint8Array) {
        if (message.type !== "input" || message.offset > held) throw new Error("A gap");
        if (isFull) return listener?.taken(held, held);
        const fresh = bytes.subarray(held - message.offset);
        if (fresh.length === 0) return;
        taken.push(new Uint8Array(fresh));
        held += fresh.length;
        listener?.taken(held, limit);
      },
    },
  };
  const feed = new Feed(job as unknown as Job); // of a job it asks nothing else
  return {
    feed,
    allow: (bytes: number) => {
      limit = held + bytes;
      listener?.taken(held, limit);
    },
    fill: (full: boolean) => (isFull = full),
    close: () => listener?.closed(),
    records: (): readonly TaskRecord[] => [...new TaskDecoder().push(Buffer.concat(taken))],
  };
}

describe("Feed", () => {
  test("holds what it is given until the keeper takes anything", async () => {
    const { feed, allow, records } = setup();
    const id = newId();
    feed.put("mark", id);
    await feed.send("run", id, new Uint8Array([1, 2]), new AbortController().signal);
    expect(records()).toEqual([]);
    allow(1);
    await eventually(() => records().length >= 1);
    allow(1_000);
    expect(records().map(({ kind, payload }) => [kind, [...payload]])).toEqual([
      ["mark", []],
      ["run", [1, 2]],
    ]);
  });

  test("sends large arguments in pieces, at the keeper's pace, and never a half record", async () => {
    const { feed, allow, records } = setup();
    const content = crypto.getRandomValues(new Uint8Array(65_536));
    const id = newId();
    let given = 0;
    async function* arrive() {
      for (; given < 20; given++) yield content;
    }
    const sending = feed.send("run", id, arrive(), new AbortController().signal);
    await eventually(() => given >= 1);
    expect(given).toBeLessThan(3); // nobody takes any
    while (records().at(-1)?.kind !== "run") {
      allow(100_000);
      await new Promise(setImmediate);
    }
    await sending;
    expect(records()).toHaveLength(20);
    expect(
      records().every((record) => record.id === id && Buffer.compare(record.payload, content) === 0),
    ).toBe(true);
  });

  test("sends again what a full keeper has left", async () => {
    const { feed, allow, fill, records } = setup();
    allow(1_000_000);
    fill(true);
    const ids = [newId(), newId(), newId()];
    for (const id of ids) feed.put("run", id);
    expect(records()).toEqual([]);
    fill(false);
    allow(1_000_000);
    expect(records().map(({ id }) => id)).toEqual(ids);
  });

  test("has the task forget what did not come whole", async () => {
    const { feed, allow, records } = setup();
    allow(10_000_000);
    const id = newId();
    async function* failing() {
      yield new Uint8Array(65_536);
      yield new Uint8Array(65_536);
      throw new Error("gone");
    }
    await expect(feed.send("run", id, failing(), new AbortController().signal)).rejects.toThrow("gone");
    expect(records().map(({ kind }) => kind)).toEqual(["args", "drop"]);
  });

  test("does not wait for a task that has ended", async () => {
    const { feed, close } = setup();
    const sending = feed.send("run", newId(), new Uint8Array(200_000), new AbortController().signal);
    close();
    await expect(sending).rejects.toMatchObject({ code: "not_running" });
  });
});
