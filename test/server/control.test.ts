import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/protocol/error.ts";
import { start } from "../../src/server/control.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";

const never = new AbortController().signal;

function setup() {
  const directory = openDirectory();
  const state = join(directory.path, "state");
  /** What is thrown for a server that is this shell script. */
  const refusal = async (script: string, { signal = never, patience = 10_000 } = {}) => {
    const argv = ["/bin/sh", "-c", `echo $$ > ${directory.path}/pid; ${script}`];
    try {
      await start(state, { argv, argv0: "farhandd" }, signal, patience);
    } catch (error) {
      return error;
    }
    throw new Error("It was started");
  };
  const pid = async () => Number(await Bun.file(join(directory.path, "pid")).text());
  return { state, refusal, pid, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

test("start() throws what a server says that ends, and leaves no file", async () => {
  using world = setup();
  const error = await world.refusal("echo 'a line of its log'; echo 'farhandd: Cannot do it' >&2; exit 1");
  expect(error).toEqual(new AppError("unavailable", "Cannot do it"));
  expect(readdirSync(join(world.state, "logs"))).toEqual([]);
});

test("start() says so when a server ends without a word", async () => {
  using world = setup();
  expect(await world.refusal("exit 0")).toMatchObject({
    code: "unavailable",
    message: "Cannot start: the server ended without a word",
  });
});

test("start() throws a sentence when a server does not answer in time, and ends it", async () => {
  using world = setup();
  const error = await world.refusal("trap '' TERM; while :; do sleep 0.1; done", { patience: 2_000 });
  const pid = await world.pid();
  expect(error).toMatchObject({
    code: "timed_out",
    message: `Cannot start: pid ${pid} did not answer within 2 s; see logs/server.log in "${world.state}"`,
  });
  await eventually(() => !isRunning(pid));
  expect(readdirSync(join(world.state, "logs"))).toEqual([]);
});

test("start() that is interrupted ends the server that it began to start", async () => {
  using world = setup();
  const stop = new AbortController();
  const refused = world.refusal("while :; do sleep 0.1; done", { signal: stop.signal });
  await eventually(async () => (await world.pid().catch(() => 0)) > 0);
  const reason = new AppError("shutting_down", "Stopped by SIGINT");
  stop.abort(reason);
  expect(await refused).toBe(reason);
  const pid = await world.pid();
  await eventually(() => !isRunning(pid));
});

/** A zombie has no command line. */
function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && Bun.spawnSync(["cat", `/proc/${pid}/cmdline`]).stdout.length > 0;
}
