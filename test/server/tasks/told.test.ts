import { describe, expect, test } from "bun:test";
import { encodeCbor } from "../../../src/protocol/cbor/encode.ts";
import { encodeTold, readTold } from "../../../src/protocol/told.ts";
import { toThrownError } from "../../../src/server/tasks/told.ts";

/** What the server makes of what a task's process says was thrown. */
function toldOf(body: unknown) {
  const told = readTold(encodeTold("threw", undefined, encodeCbor(body)));
  if (told === undefined) throw new Error("It cannot be read");
  return toThrownError(told);
}

describe("toThrownError()", () => {
  test("is the error that was thrown", () => {
    expect(toldOf({ code: "not_found", message: "No", details: { path: ["a", 1] } })).toMatchObject({
      code: "not_found",
      message: "No",
      details: { path: ["a", 1] },
    });
  });

  test("is one that says nothing where no answer could tell it", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    let deep: unknown = [];
    for (let depth = 0; depth < 100; depth++) deep = [deep];
    for (const details of [{ big: 1n }, cycle, { deep }, { map: new Map() }, { nothing: undefined }]) {
      const error = toldOf({ code: "not_found", message: "No", details });
      expect(error).toMatchObject({ code: "threw", message: "The task threw something that cannot be told" });
      expect(error.details).toBeUndefined();
    }
    expect(toldOf(1)).toMatchObject({ code: "threw" });
  });
});
