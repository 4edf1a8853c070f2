import { expect, test } from "bun:test";
import { delay } from "../../src/lib/abort.ts";
import { AppError } from "../../src/protocol/error.ts";
import { timeLimit } from "../../src/server/time-limit.ts";

test("timeLimit() ends what waits with its own sentence", async () => {
  const waited = delay(60_000, timeLimit(20, "Cannot wait any longer"));
  expect(await waited.catch((error: unknown) => error)).toEqual(
    new AppError("timed_out", "Cannot wait any longer"),
  );
});
