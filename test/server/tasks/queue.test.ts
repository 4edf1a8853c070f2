import { describe, expect, test } from "bun:test";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { Execution } from "../../../src/server/tasks/execution.ts";
import { Memory } from "../../../src/server/tasks/memory.ts";
import { Queue } from "../../../src/server/tasks/queue.ts";

const MiB = 1024 * 1024;
const create = (bytes = 0) => new Execution(crypto.randomUUID() as ExecutionId, new Uint8Array(bytes));
const full = expect.objectContaining({ code: "queue_full" });

describe("Queue", () => {
  test("gives executions in the order in which they came", () => {
    const queue = new Queue();
    const all = Array.from({ length: 5 }, () => create(10));
    for (const each of all) queue.push(each);
    expect([queue.size, queue.bytes]).toEqual([5, 50]);
    expect(all.map(() => queue.shift())).toEqual(all);
    expect([queue.shift(), queue.size, queue.bytes]).toEqual([undefined, 0, 0]);
  });

  test("takes 1,024 executions and no more", () => {
    const queue = new Queue();
    for (let index = 0; index < 1_024; index++) queue.push(create());
    expect(() => queue.push(create())).toThrow(full);
    queue.shift();
    queue.push(create());
  });

  test("holds 8 MiB of arguments and no more; what its caller holds counts for nothing", () => {
    const queue = new Queue();
    queue.push(create(8 * MiB));
    expect(() => queue.push(create(1))).toThrow(full);
    queue.push(new Execution(crypto.randomUUID() as ExecutionId, (async function* () {})()));
    expect(queue.bytes).toBe(8 * MiB);
    expect(queue.clear()).toHaveLength(2);
    queue.push(create(MiB));
    expect([queue.size, queue.bytes]).toEqual([1, MiB]);
  });
});

describe("Memory", () => {
  test("knows whatever is not over, and the last hundred and some that are", () => {
    const memory = new Memory(0);
    const all = Array.from({ length: 1_000 }, () => create());
    for (const each of all) memory.add(each);
    for (const each of all.slice(0, 900)) memory.settle(each);
    const known = all.filter(({ id }) => memory.find(id) !== undefined);
    expect(known).toEqual(all.slice(900 - 128));
  });

  test("keeps few answers at hand", () => {
    const memory = new Memory(0);
    const all = Array.from({ length: 20 }, () => create());
    for (const [index, each] of all.entries()) {
      memory.add(each);
      each.respond({
        job: each.id as never,
        place: { first: index, last: index, bytes: 10 },
        payload: new Uint8Array(index === 18 ? 10_000 : 10),
      });
      each.finish();
      memory.settle(each);
    }
    const atHand = all.filter(({ answer }) => answer?.payload !== undefined);
    expect(atHand).toEqual([all[17], all[19]] as Execution[]);
    expect(all[0]?.answer?.place).toEqual({ first: 0, last: 0, bytes: 10 });
  });
});

describe("Execution", () => {
  const signal = new AbortController().signal;
  const process = { job: crypto.randomUUID() as never, restarts: 0, restored: false };
  const answer = { job: process.job, place: { first: 1, last: 1, bytes: 4 }, payload: undefined };

  test("lets each wait for what he wants to know", async () => {
    const execution = create();
    await execution.waitFor("queued", signal);
    expect(execution.state).toBe("queued");
    const seen: string[] = [];
    const response = execution.waitFor("response", signal).then(() => seen.push(execution.state));
    const end = execution.waitFor("end", signal).then(() => seen.push(execution.state));
    execution.begin(process);
    execution.respond(answer);
    await response;
    execution.finish();
    await end;
    expect(seen).toEqual(["responded", "finished"]);
  });

  test("has one end, the first", () => {
    const execution = create();
    execution.begin(process);
    execution.finish();
    execution.fail(Object.assign(new Error("late"), { code: "crashed" }) as never);
    expect([execution.state, execution.error]).toEqual(["finished", undefined]);
  });

  test("is waited for only as long as somebody cares", async () => {
    const caller = new AbortController();
    const waiting = create().waitFor("end", caller.signal);
    caller.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
  });
});
