import { expect, test } from "bun:test";
import { retry } from "../../src/client/retry.ts";
import { AppError } from "../../src/protocol/error.ts";

const { signal } = new AbortController();

test("retry() begins no attempt that has no time left, and throws what the last one met", async () => {
  let attempts = 0;
  const attempt = async () => {
    attempts++;
    throw new AppError("connection_refused", "Cannot connect: the port refuses");
  };
  /** As if the machine had been suspended meanwhile. */
  function* pauses(): Generator<number, never, void> {
    for (;;) {
      Bun.sleepSync(200);
      yield 0;
    }
  }
  const trying = retry(attempt, { window: 200, pauses: pauses(), signal });
  await expect(trying).rejects.toMatchObject({ code: "connection_refused" });
  expect(attempts).toBe(1);
});

test("retry() throws at once what would come again", async () => {
  let attempts = 0;
  const attempt = async () => {
    attempts++;
    throw new AppError("invalid_input", "Cannot connect: no such scheme");
  };
  await expect(retry(attempt, { window: 60_000, signal })).rejects.toMatchObject({
    code: "invalid_input",
  });
  expect(attempts).toBe(1);
});
