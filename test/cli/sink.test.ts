import { describe, expect, test } from "bun:test";
import { Sink, WriteFailure } from "../../src/cli/sink.ts";

/** A sink on a writer that records, and fails with `code` from the given write on. */
function setup({ failAt = Number.POSITIVE_INFINITY, code = "ENOSPC", onFlush = false } = {}) {
  const written: string[] = [];
  let [opened, writes] = [0, 0];
  const fail = () => Promise.reject(Object.assign(new Error(`${code}: failed`), { code }));
  const sink = new Sink("stdout", () => {
    opened++;
    return {
      write(bytes) {
        if (++writes >= failAt && !onFlush) return fail();
        written.push(Buffer.from(bytes).toString());
        return bytes.length;
      },
      flush: () => (writes >= failAt && onFlush ? fail() : 0),
    };
  });
  return { sink, written, opened: () => opened };
}

describe("Sink", () => {
  test("opens its stream with the first write only", async () => {
    const { sink, opened } = setup();
    await sink.flushed();
    expect(opened()).toBe(0);
    sink.write("a");
    sink.write("b");
    await sink.flushed();
    expect(opened()).toBe(1);
  });

  test("writes in order, and calls back when the bytes are written", async () => {
    const { sink, written } = setup();
    const done: string[] = [];
    for (const text of ["a", "b", "c"]) sink.write(text, () => done.push(text));
    expect(done).toEqual([]);
    await sink.flushed();
    sink.writeLine("d");
    await sink.flushed();
    expect(written.join("")).toBe("abcd\n");
    expect(done).toEqual(["a", "b", "c"]);
    expect(sink.failure).toBeUndefined();
  });

  test.each([false, true])("keeps a failure (of flush: %p), and calls back all the same", async (onFlush) => {
    const { sink, written } = setup({ failAt: 1, onFlush });
    let done = 0;
    sink.write("a", () => done++);
    await sink.flushed();
    sink.write("b", () => done++);
    await sink.flushed();
    expect(done).toBe(2);
    expect(written.join("")).not.toContain("b");
    expect(sink.failure).toBeInstanceOf(WriteFailure);
    expect(sink.failure?.message).toBe("Cannot write to stdout: no space is left on the device");
    expect(sink.isUnread).toBe(false);
  });

  test("takes a reader that is gone for no failure", async () => {
    const { sink } = setup({ failAt: 1, code: "EPIPE" });
    sink.write("a");
    await sink.flushed();
    expect([sink.isUnread, sink.failure]).toEqual([true, undefined]);
  });
});
