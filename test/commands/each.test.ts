import { expect, test } from "bun:test";
import { forEach } from "../../src/commands/each.ts";
import { AppError } from "../../src/protocol/error.ts";

const never = new AbortController().signal;
const refuse = (path: string) =>
  new AppError("os_error", `Cannot try "${path}": no (EPERM)`, { details: { os: "EPERM", path } });

/** What it yielded, and how it ended. */
async function run(
  paths: readonly string[],
  act: (path: string) => Promise<string | undefined>,
  signal = never,
) {
  const done: string[] = [];
  try {
    const errand = { action: "try", paths, signal, act: (path: Uint8Array) => act(path.toString()) };
    for await (const event of forEach(errand)) done.push(event);
  } catch (error) {
    return { done, error };
  }
  return { done, error: undefined };
}

test("forEach() goes on after what the system refuses, and tells all of it at the end", async () => {
  const { done, error } = await run(["a", "b", "c", "d"], async (path) => {
    if (path === "b" || path === "c") throw refuse(path);
    return path;
  });
  expect(done).toEqual(["a", "d"]);
  expect(error).toMatchObject({
    code: "os_error",
    message: 'Cannot try 2 of 4 paths: Cannot try "b": no (EPERM); Cannot try "c": no (EPERM)',
    details: { os: "EPERM", path: "b", failures: [{ path: "b" }, { path: "c" }] },
  });
});

test("forEach() throws a single refusal as it is", async () => {
  const refused = refuse("a");
  expect(await run(["a", "b"], async (path) => (path === "a" ? Promise.reject(refused) : path))).toEqual({
    done: ["b"],
    error: refused,
  });
});

test("forEach() tells a bounded number of refusals", async () => {
  const paths = Array.from({ length: 30 }, (_, index) => String(index));
  const { error } = await run(paths, (path) => Promise.reject(refuse(path)));
  expect(error).toMatchObject({ message: expect.stringMatching(/; and 10 more$/) });
  expect((error as AppError).details?.["failures"]).toHaveLength(20);
});

test("forEach() stops at once when it is cancelled, and at any other failure", async () => {
  const caller = new AbortController();
  const cancelled = new AppError("cancelled", "The caller cancelled");
  const act = async (path: string) => {
    caller.abort(cancelled);
    return path;
  };
  expect(await run(["a", "b"], act, caller.signal)).toEqual({ done: ["a"], error: cancelled });
  const broken = new Error("broken");
  expect(await run(["a", "b"], () => Promise.reject(broken))).toEqual({ done: [], error: broken });
});
