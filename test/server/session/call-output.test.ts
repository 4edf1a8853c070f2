import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { turn } from "../../../src/lib/abort.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES } from "../../../src/protocol/limits.ts";
import { decodeRecords, toPacket } from "../../../src/protocol/packet.ts";
import { CallOutput } from "../../../src/server/session/call-output.ts";

const never = new AbortController().signal;

/** Everything that is left from packet `number` on, read through a buffer of so many bytes. */
function readAll(output: CallOutput, number: number, room = MAX_RECORD_BYTES) {
  const packets = [];
  for (let next = number; ;) {
    const target = new Uint8Array(room);
    const read = output.read(next, target);
    if (read.bytes === 0) return packets;
    for (const record of decodeRecords(target.subarray(0, read.bytes))) packets.push(toPacket(record));
    next = read.next;
  }
}

describe("CallOutput", () => {
  test("gives what was said, in packets numbered from 0, however it is read", async () => {
    const said = fc.array(fc.oneof(fc.jsonValue(), fc.uint8Array({ minLength: 1, maxLength: 300 })));
    await fc.assert(
      fc.asyncProperty(
        said,
        fc.integer({ min: MAX_RECORD_BYTES, max: 4 * MAX_RECORD_BYTES }),
        async (all, room) => {
          const output = new CallOutput(() => Number.POSITIVE_INFINITY);
          for (const one of all) await output.put(one, never);
          const expected = all.map((one, number) =>
            one instanceof Uint8Array
              ? { type: "stdout", number, bytes: one }
              : { type: "value", number, value: JSON.parse(JSON.stringify(one)) },
          );
          expect(readAll(output, 0, room)).toMatchObject(expected);
        },
      ),
    );
  });

  test("cuts bytes into packets of the largest payload", async () => {
    const output = new CallOutput(() => Number.POSITIVE_INFINITY);
    await output.put(new Uint8Array(MAX_PAYLOAD_BYTES * 2 + 1), never);
    const sizes = readAll(output, 0).map((packet) => (packet?.type === "stdout" ? packet.bytes.length : 0));
    expect(sizes).toEqual([MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES, 1]);
  });

  test("lets its command wait while a window is not consumed, and drops what is", async () => {
    const output = new CallOutput(() => 1_000);
    let isDone = false;
    await output.put(new Uint8Array(900), never);
    const put = output.put(new Uint8Array(200), never).then(() => (isDone = true));
    await turn();
    expect(isDone).toBe(false);
    output.consumed(1);
    await put;
    expect(() => output.read(0, new Uint8Array(10))).toThrow("packet 0");
    expect(readAll(output, 1)).toHaveLength(1);
  });

  test("lets nobody wait for a reader that is gone, and keeps nothing for it", async () => {
    const output = new CallOutput(() => 10);
    const put = output.put(new Uint8Array(1_000), never);
    output.abandon();
    await put;
    await output.put({ more: true }, never);
    expect(output.isEnded).toBe(true);
    expect(readAll(output, output.next)).toEqual([]);
  });

  test("ends its command's waiting with the reason for which the call is over", async () => {
    const call = new AbortController();
    const output = new CallOutput(() => 10);
    const put = output.put(new Uint8Array(1_000), call.signal);
    call.abort(new AppError("cancelled", "Enough"));
    await expect(put).rejects.toThrow("Enough");
  });

  test("refuses an event that no packet has room for, and goes on", async () => {
    const output = new CallOutput(() => Number.POSITIVE_INFINITY);
    await expect(output.put("x".repeat(MAX_PAYLOAD_BYTES), never)).rejects.toMatchObject({
      code: "too_many",
    });
    await output.put("fits", never);
    expect(readAll(output, 0)).toMatchObject([{ number: 0, value: "fits" }]);
  });
});
