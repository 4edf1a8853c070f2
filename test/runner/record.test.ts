import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  encodeJson,
  encodeRecord,
  parseJson,
  type RecordKind,
  RecordReader,
} from "../../src/runner/record.ts";

/** Reads what comes in these pieces. */
function read(...pieces: readonly Uint8Array[]): RecordReader {
  const left = [...pieces];
  return new RecordReader(async () => left.shift());
}

async function readAll(reader: RecordReader): Promise<{ kind: RecordKind; payload: string }[]> {
  const all = [];
  for (let record = await reader.next(); record !== undefined; record = await reader.next())
    all.push({ kind: record.kind, payload: Buffer.from(record.payload).toString("hex") });
  return all;
}

describe("RecordReader", () => {
  test("gives the records that were sent, however they are cut into pieces", async () => {
    const kind = fc.constantFrom<RecordKind>("call", "input", "end", "event", "bytes", "result", "failure");
    const record = fc.record({ kind, payload: fc.uint8Array({ maxLength: 200 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(record), fc.array(fc.nat(40)), async (records, cuts) => {
        const sent = Buffer.concat(records.map(({ kind, payload }) => encodeRecord(kind, payload)));
        const pieces: Uint8Array[] = [];
        let start = 0;
        for (const cut of cuts) pieces.push(sent.subarray(start, (start += cut)));
        pieces.push(sent.subarray(start));
        expect(await readAll(read(...pieces))).toEqual(
          records.map(({ kind, payload }) => ({ kind, payload: Buffer.from(payload).toString("hex") })),
        );
      }),
    );
  });

  test("refuses what is no record, or longer than any", async () => {
    const strange = encodeRecord("end");
    strange[4] = 200;
    const long = encodeRecord("bytes");
    new DataView(long.buffer).setUint32(0, 0x7fff_ffff);
    for (const bytes of [strange, long]) await expect(read(bytes).next()).rejects.toThrow("Cannot read");
    expect(() => parseJson({ kind: "event", payload: Buffer.from("{") })).toThrow("none");
  });

  test("gives a record that was looked at to whoever takes it next, and one only once", async () => {
    const reader = read(encodeJson("event", 1), encodeJson("event", 2));
    const [seen, again, first] = await Promise.all([reader.peek(), reader.peek(), reader.next()]);
    expect([seen, again].map((record) => record && parseJson(record))).toEqual([1, 1]);
    const second = await reader.next();
    expect([first, second].map((record) => record && parseJson(record))).toEqual([1, 2]);
    expect(await reader.next()).toBeUndefined();
  });
});
