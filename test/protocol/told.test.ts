import { describe, expect, test } from "bun:test";
import { decodeCbor } from "../../src/protocol/cbor/decode.ts";
import { encodeCbor } from "../../src/protocol/cbor/encode.ts";
import type { ExecutionId } from "../../src/protocol/task.ts";
import { encodeTold, readTold } from "../../src/protocol/told.ts";

const ID = "01990000-0000-7000-8000-00000000abcd" as ExecutionId;

describe("What the runner of a task tells", () => {
  test("is CBOR that whoever follows its job can read", () => {
    expect(decodeCbor(encodeTold("began", ID))).toEqual(["began", ID]);
    expect(decodeCbor(encodeTold("exited", undefined))).toEqual(["exited", null]);
    expect(decodeCbor(encodeTold("responded", ID, encodeCbor(new Map([[1, 2n]]))))).toEqual([
      "responded",
      ID,
      new Map([[1, 2n]]),
    ]);
  });

  test("is told apart unread, and its payload is a value of its own, with what it holds twice", () => {
    const shared = { a: 1 };
    const payload = encodeCbor([shared, shared, "x".repeat(1_000)]);
    const told = readTold(encodeTold("responded", ID, payload));
    expect(told).toMatchObject({ type: "responded", id: ID });
    const value = decodeCbor(told?.payload ?? new Uint8Array(0)) as unknown[];
    expect(value[0]).toEqual(shared);
    expect(value[0]).toBe(value[1]);
    expect(told?.payload).toEqual(payload);
    // As a whole too.
    const whole = decodeCbor(encodeTold("saved", ID, payload)) as [string, string, unknown[]];
    expect(whole[2][0]).toBe(whole[2][1]);
  });

  test("can be told apart by its beginning", () => {
    const bytes = encodeTold("saved", ID, encodeCbor("x".repeat(100_000)));
    expect(readTold(bytes.subarray(0, 65_536))).toMatchObject({ type: "saved", id: ID });
  });

  test("is nothing where it is something else", () => {
    const others = [
      new Uint8Array(0),
      encodeCbor(["began"]),
      encodeCbor(["unheard", null]),
      encodeCbor(["began", 7]),
      encodeCbor({ began: null }),
      new TextEncoder().encode('["began",null]'),
      encodeTold("began", ID).subarray(0, 20),
    ];
    for (const bytes of others) expect(readTold(bytes)).toBeUndefined();
  });
});
