import { describe, expect, test } from "bun:test";
import { delay } from "../../../src/lib/abort.ts";
import type { TaskContext, TaskDefinition } from "../../../src/module/define.ts";
import { decodeCbor } from "../../../src/protocol/cbor/decode.ts";
import { encodeValue } from "../../../src/protocol/cbor/payload.ts";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { encodeTaskRecord, type TaskRecordKind } from "../../../src/runner/task/record.ts";
import { runTask } from "../../../src/runner/task/task.ts";
import { Mailbox } from "../../../src/lib/mailbox.ts";
import { eventually } from "../../support/eventually.ts";

interface Setup {
  readonly restored?: unknown;
  readonly args?: unknown;
  readonly savesAlways?: boolean;
  /** Its process was told to end before. */
  readonly isStopped?: boolean;
}

const newId = () => crypto.randomUUID() as ExecutionId;

/** A task without processes: what it is told goes into a mailbox, and what it says is kept. */
function setup(task: TaskDefinition | Error, options: Setup = {}) {
  const { restored, args, savesAlways = false, isStopped = false } = options;
  const inbox = new Mailbox<Uint8Array>();
  const chunks = inbox[Symbol.asyncIterator]();
  const said: unknown[][] = [];
  const logged: string[] = [];
  const stopped = new AbortController();
  if (isStopped) stopped.abort();
  const isRestored = restored !== undefined;
  const tell = (kind: TaskRecordKind, id: ExecutionId, payload?: Uint8Array) =>
    inbox.push(encodeTaskRecord(kind, id, payload));
  const ended = runTask(
    {
      order: {
        type: "task",
        task: "counter",
        caller: { user: "me", role: "admin", source: "unix" },
        isRestored,
        savesAlways,
      },
      payload: encodeValue(isRestored ? restored : args),
      load: async () => {
        if (task instanceof Error) throw task;
        return task;
      },
      read: async () => (await chunks.next()).value ?? undefined,
      say: async (value) => void said.push(decodeCbor(value) as unknown[]),
      log: (...words) => void logged.push(words.join(" ")),
      cwd: "/srv",
      env: { A: "b" },
    },
    stopped.signal,
  );
  ended.catch(() => {}); // awaited by whoever cares
  return {
    said,
    logged,
    ended,
    inbox,
    tell,
    stop: () => stopped.abort(),
    run: (args: unknown, id = newId()) => {
      tell("run", id, encodeValue(args));
      return id;
    },
    exit: (args?: unknown, id = newId()) => {
      tell("exit", id, encodeValue(args));
      return id;
    },
    saying: (type: string, count = 1) =>
      eventually(() => said.filter((each) => each[0] === type).length >= count),
  };
}

const counter: TaskDefinition<number, number> = {
  init: (_context, args) => Number(args ?? 0),
  exec(context, count, add) {
    context.respond(count + add);
    return count + add;
  },
};

describe("runTask()", () => {
  test("tells when it is ready, and of each execution that it began, what it answered and that it ended", async () => {
    const task = setup(counter, { args: 40 });
    const [one, two] = [task.run(1), task.run(1)];
    await task.saying("finished", 2);
    const exit = task.exit();
    await task.ended;
    expect(exit).toBeString();
    expect(task.said).toEqual([
      ["ready", null, { restored: false }],
      ["began", one],
      ["responded", one, 41],
      ["finished", one, { responded: true }],
      ["began", two],
      ["responded", two, 42],
      ["finished", two, { responded: true }],
      ["exited", null],
    ]);
  });

  test("begins with a state that is given, without init", async () => {
    const task = setup({ ...counter, init: () => Promise.reject(new Error("not called")) }, { restored: 7 });
    task.run(1);
    await task.saying("responded");
    expect(task.said[0]).toEqual(["ready", null, { restored: true }]);
    expect(task.said[2]?.[2]).toBe(8);
  });

  test("gives its functions what they may know, and waits for them where they take time", async () => {
    const seen: TaskContext[] = [];
    const task = setup({
      init: async (context) => {
        seen.push(context);
        await delay(5, context.signal);
        return ["init"];
      },
      exec: async (context, state, args) => {
        seen.push(context);
        await delay(5, context.signal);
        return [...state, args];
      },
      exit: async (context, state, args) => {
        seen.push(context);
        await delay(5, new AbortController().signal);
        context.respond([...state, args]);
      },
    });
    const id = task.run("exec");
    await task.saying("finished");
    const exit = task.exit("exit");
    await task.ended;
    expect(task.said.at(-2)).toEqual(["responded", exit, ["init", "exec", "exit"]]);
    const common = { task: "counter", cwd: "/srv", env: { A: "b" }, caller: { user: "me" } };
    expect(seen).toMatchObject([common, { ...common, execution: id }, common]);
    expect(seen[0]?.execution).toBeUndefined();
  });

  test("tells whatever an execution throws, at once or later, and goes on with the state as it was", async () => {
    const thrown: readonly unknown[] = [
      new RangeError("at once"),
      undefined,
      null,
      "words",
      Object.freeze({}),
      new Proxy(
        {},
        {
          get() {
            throw new Error("trap");
          },
        },
      ),
    ];
    const task = setup({
      init: () => ({ count: 0 }),
      exec(_context, state, args: { readonly index?: number; readonly later?: boolean }) {
        state.count++;
        if (args.index === undefined) return state;
        if (args.later) return Promise.reject(thrown[args.index]);
        throw thrown[args.index];
      },
      exit: (context, state) => context.respond(state.count),
    });
    for (const index of thrown.keys()) {
      task.run({ index });
      task.run({ index, later: true });
    }
    task.run({});
    await task.saying("finished");
    expect(task.said.filter(([type]) => type === "threw")).toHaveLength(2 * thrown.length);
    expect(task.said[2]?.[2]).toMatchObject({ code: "threw", name: "RangeError", message: "at once" });
    task.exit();
    await task.ended;
    expect(task.said.at(-2)?.[2]).toBe(1);
  });

  test("refuses a second answer, one that is no data, and one that comes too late", async () => {
    let late: (() => void) | undefined;
    const task = setup({
      exec(context, state, args) {
        if (args === "function") context.respond(() => {});
        context.respond(1);
        if (args === "twice") context.respond(2);
        late ??= () => context.respond(3);
        return state;
      },
    });
    task.run("late");
    await task.saying("finished");
    task.run("twice");
    task.run("function");
    await task.saying("threw", 2);
    expect(late).toThrow(expect.objectContaining({ code: "invalid_input" }));
    const errors = task.said.filter(([type]) => type === "threw").map(([, , error]) => error);
    expect(errors).toMatchObject([{ code: "invalid_input" }, { code: "invalid_input" }]);
    expect(task.said.filter(([type]) => type === "responded").map(([, , value]) => value)).toEqual([1, 1]);
  });

  test("saves a state when it is told to, and after each execution if that is asked, before it tells of its end", async () => {
    const saving = setup({ exec: async (context, _state, args) => (await context.save({ args }), args) });
    saving.run(1);
    await saving.saying("finished");
    expect(saving.said.map(([type]) => type)).toEqual(["ready", "began", "saved", "finished"]);
    expect(saving.said[2]?.[2]).toEqual({ args: 1 });
    const always = setup(counter, { savesAlways: true });
    always.run(5);
    await always.saying("finished");
    expect(always.said.map(([type, , value]) => [type, value])).toContainEqual(["saved", 5]);
  });

  test("does not take over a state that is to be saved and cannot be", async () => {
    const task = setup(
      {
        init: () => 1,
        exec: (context, state, args) => (context.respond(state), args === "bad" ? () => {} : state),
      },
      { savesAlways: true },
    );
    task.run("bad");
    task.run("good");
    await task.saying("finished");
    expect(task.said.filter(([type]) => type === "threw")).toMatchObject([
      ["threw", expect.any(String), { code: "invalid_input" }],
    ]);
    expect(task.said.filter(([type]) => type === "responded").map(([, , value]) => value)).toEqual([1, 1]);
  });

  test("tells of a module, an init or an exit that throws, and throws that", async () => {
    for (const [task, type] of [
      [new SyntaxError("cannot load"), "failed"],
      [
        {
          ...counter,
          init: () => {
            throw new TypeError("no");
          },
        },
        "failed",
      ],
      [{ ...counter, exit: () => Promise.reject(new TypeError("no")) }, "broken"],
    ] as const) {
      const run = setup(task);
      run.exit();
      await expect(run.ended).rejects.toThrow(Error);
      expect(run.said.at(-1)?.[0]).toBe(type);
      expect(run.logged.join("\n")).toMatch(/cannot load|no/);
    }
  });

  test("that is to end aborts what is under way, begins nothing else, and then calls exit", async () => {
    const task = setup({
      exec: (context) => delay(60_000, context.signal),
      exit: (context) => context.respond(context.signal.aborted),
    });
    const [under, waiting] = [task.run(1), task.run(2)];
    await task.saying("began");
    const exit = task.exit();
    await task.ended;
    expect(task.said.map(([type, id]) => [type, id])).toEqual([
      ["ready", null],
      ["began", under],
      ["threw", under],
      ["responded", exit],
      ["exited", null],
    ]);
    expect(JSON.stringify(task.said)).not.toContain(waiting);
  });

  test("ends properly when its process is told to, or when nobody is there any more", async () => {
    for (const end of ["stop", "leave"]) {
      const task = setup({ exec: (context) => delay(60_000, context.signal) });
      task.run(1);
      await task.saying("began");
      if (end === "stop") task.stop();
      else task.inbox.close();
      await task.ended;
      expect(task.said.at(-1)).toEqual(["exited", null]);
    }
  });

  test("whose process was told to end before it began begins nothing, and ends properly what it was given", async () => {
    const fresh = setup(counter, { isStopped: true });
    expect(await fresh.ended.catch((error: unknown) => error)).toMatchObject({ code: "cancelled" });
    expect(fresh.said.map(([type]) => type)).toEqual(["failed"]);
    const restored = setup(counter, { restored: { count: 3 }, isStopped: true });
    await restored.ended;
    expect(restored.said.map(([type]) => type)).toEqual(["ready", "exited"]);
  });

  test("answers a mark also while it works, with what that is, and forgets what was begun and not run", async () => {
    const task = setup({ ...counter, exec: (context) => delay(60_000, context.signal) });
    const mark = newId();
    task.tell("mark", mark);
    await task.saying("marked");
    expect(task.said.at(-1)).toEqual(["marked", mark, { running: null, ending: false }]);
    const running = task.run(1);
    const half = newId();
    task.tell("args", half, new Uint8Array([0xff]));
    const second = newId();
    task.tell("mark", second);
    await task.saying("marked", 2);
    expect(task.said.at(-1)).toEqual(["marked", second, { running, ending: false }]);
    task.tell("run", half, encodeValue(2)); // of which nothing is left but this
    task.exit();
    await task.ended;
  });

  test("puts arguments together that come in pieces, and refuses what is no value without calling anybody", async () => {
    const task = setup(counter);
    const id = newId();
    const bytes = encodeValue(123);
    for (const byte of bytes.subarray(0, -1)) task.tell("args", id, new Uint8Array([byte]));
    task.tell("run", id, bytes.subarray(-1));
    task.tell("run", newId(), new Uint8Array([0xd9, 0xd9, 0xf7, 0xff]));
    await task.saying("threw");
    expect(task.said[2]).toEqual(["responded", id, 123]);
    expect(task.said.at(-1)?.[2]).toMatchObject({ code: "protocol_error" });
  });

  test("ends when it is told what nobody tells", async () => {
    const task = setup(counter);
    task.inbox.push(new Uint8Array(100).fill(0xee));
    await task.ended;
    expect(task.said.at(-1)).toEqual(["exited", null]);
    expect(task.logged.join("\n")).toContain("a record is none");
  });
});
