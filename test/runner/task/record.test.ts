import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { encodeTaskRecord, TaskDecoder, type TaskRecordKind } from "../../../src/runner/task/record.ts";

const kinds: readonly TaskRecordKind[] = ["args", "run", "exit", "drop", "mark"];
const records = fc.array(
  fc.record({
    kind: fc.constantFrom(...kinds),
    id: fc.uuid().map((id) => id as ExecutionId),
    payload: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 20 },
);

/** What a stream holds that arrives in pieces of these lengths. */
function decode(bytes: Uint8Array, lengths: readonly number[]) {
  const decoder = new TaskDecoder();
  const decoded: unknown[] = [];
  for (let start = 0, index = 0; start < bytes.length; index++) {
    const length = lengths[index % lengths.length] ?? 1;
    for (const { kind, id, payload } of decoder.push(bytes.subarray(start, start + length)))
      decoded.push({ kind, id, payload: new Uint8Array(payload) });
    start += length;
  }
  return decoded;
}

describe("TaskDecoder", () => {
  test("gives what was encoded, however it arrives", () => {
    fc.assert(
      fc.property(records, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (all, lengths) => {
        const bytes = Buffer.concat(all.map(({ kind, id, payload }) => encodeTaskRecord(kind, id, payload)));
        expect(decode(bytes, lengths)).toEqual(all);
      }),
    );
  });

  test("refuses what is no record", () => {
    const id = crypto.randomUUID() as ExecutionId;
    const unknown = encodeTaskRecord("run", id);
    unknown[4] = 99;
    const long = encodeTaskRecord("run", id);
    new DataView(long.buffer).setUint32(0, 65_537);
    for (const bytes of [unknown, long])
      expect(() => decode(bytes, [bytes.length])).toThrow(
        expect.objectContaining({ code: "protocol_error" }),
      );
  });
});
