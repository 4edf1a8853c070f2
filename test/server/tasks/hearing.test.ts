import { describe, expect, test } from "bun:test";
import { decodeCbor } from "../../../src/protocol/cbor/decode.ts";
import { encodeCbor } from "../../../src/protocol/cbor/encode.ts";
import { encodePayload, encodeRecord, NO_TOTALS } from "../../../src/protocol/packet.ts";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { encodeTold, TAG } from "../../../src/protocol/told.ts";
import { Hearing } from "../../../src/server/tasks/hearing.ts";

const ID = "01990000-0000-7000-8000-00000000abcd" as ExecutionId;

/** Records of a value, as a keeper writes them. */
function toRecords(value: Uint8Array, number: number): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let start = 0; start < value.length; start += 65_536) {
    const isLast = start + 65_536 >= value.length;
    const heading = { number: number + records.length, at: 0, ...(start > 0 && { continues: true }) };
    records.push(encodePayload(isLast ? "value" : "part", heading, value.subarray(start, start + 65_536)));
  }
  return records;
}

describe("Hearing", () => {
  test("tells what is told, with its payload where it takes one packet", () => {
    const records = [
      ...toRecords(encodeTold("began", ID), 0),
      encodePayload("stdout", { number: 1, at: 0 }, new Uint8Array(9)),
      ...toRecords(encodeTold("responded", ID, encodeCbor(7n)), 2),
    ];
    const [began, responded] = new Hearing().hear(Buffer.concat(records));
    expect(began).toMatchObject({ type: "told", told: { type: "began", id: ID, payload: undefined } });
    expect(responded).toMatchObject({
      type: "told",
      told: { type: "responded" },
      place: { first: 2, last: 2 },
    });
    if (responded?.type !== "told") throw new Error("Nothing was told");
    expect(decodeCbor(responded.told.payload ?? TAG)).toBe(7n);
    expect(responded.place.bytes).toBe(responded.told.payload?.length ?? 0);
  });

  test("tells once, and of where it is, what takes more packets, however these come", () => {
    const payload = encodeCbor(new Uint8Array(200_000));
    const records = toRecords(encodeTold("saved", ID, payload), 5);
    const hearing = new Hearing();
    const between = encodePayload("stderr", { number: 99, at: 0 }, new Uint8Array(3));
    const heard = records.flatMap((record) => hearing.hear(Buffer.concat([record, between])));
    expect(heard).toMatchObject([
      {
        told: { type: "saved", id: ID, payload: undefined },
        place: { first: 5, last: 5 + records.length - 1, bytes: payload.length },
      },
    ]);
  });

  test("tells that something is gone, and nothing of what lost its beginning", () => {
    const [first, ...rest] = toRecords(encodeTold("responded", ID, encodeCbor(new Uint8Array(200_000))), 0);
    const gap = encodeRecord("gap", { number: 1, at: 0 }, { next: 2, totals: NO_TOTALS });
    const after = toRecords(encodeTold("finished", ID), 9);
    const heard = new Hearing().hear(Buffer.concat([first ?? gap, gap, ...rest.slice(1), ...after]));
    expect(heard).toMatchObject([{ type: "gap" }, { type: "told", told: { type: "finished" } }]);
  });

  test("tells of noise, and of the exit, also where only the close repeats that", () => {
    const exit = { outcome: { type: "exited", code: 3 }, totals: NO_TOTALS, endedAt: "now" };
    const records = [
      ...toRecords(encodeCbor({ not: "told" }), 0),
      encodeRecord("exit", { number: 1, at: 0 }, exit),
      encodeRecord("closed", { number: 2, at: 0 }, { exit, totals: NO_TOTALS }),
    ];
    expect(new Hearing().hear(Buffer.concat(records))).toMatchObject([
      { type: "noise" },
      { type: "exit", exit: { outcome: { code: 3 } } },
      { type: "exit", exit: { outcome: { code: 3 } } },
    ]);
  });
});
