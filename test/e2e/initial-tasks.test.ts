import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const toCounter = (first: number) =>
  `export default { init: () => ${first}, exec(context, n) { context.respond(n + 1); return n + 1; } };`;

/** A world without a server. */
function setup() {
  const world = openWorld();
  const write = (name: string, text: string) => {
    writeFileSync(join(world.home, name), text);
    return join(world.home, name);
  };
  const count = async () => (await world.farhand(["task", "exec", "counter", "--await"])).stdout;
  const start = (...tasks: string[]) => world.start(...tasks.flatMap((task) => ["--task", task]));
  const show = async () => JSON.parse((await world.farhand(["task", "show", "counter", "--json"])).stdout);
  return { ...world, write, count, start, show };
}

test("A server that is started with a task has it at once, and it goes on where it is started so again", async () => {
  await using world = setup();
  world.write("counter.ts", toCounter(0));
  await world.start("counter=counter.ts"); // from the directory in which it is started
  expect([await world.count(), await world.count()]).toEqual(["1\n", "2\n"]);
  expect(await world.show()).toMatchObject({ state: "running", restart: "on-failure", owner: "local" });
  await world.farhandd(["stop"]);
  await world.start("counter=counter.ts");
  expect(await world.count()).toBe("3\n");
});

test("A task that the server begins with is replaced where its module is another, and began anew where it was stopped", async () => {
  await using world = setup();
  const file = world.write("counter.ts", toCounter(0));
  await world.start(`counter=${file}`);
  expect(await world.count()).toBe("1\n");
  await world.farhandd(["stop"]);
  world.write("counter.ts", toCounter(100));
  await world.start(`counter=${file}`);
  expect(await world.count()).toBe("101\n");
  await world.farhand(["task", "stop", "counter"]);
  await world.farhandd(["stop"]);
  await world.start(`counter=${file}`);
  expect(await world.count()).toBe("101\n");
});

test("A server says what is wrong with a task that it is to begin with, and does not start", async () => {
  await using world = setup();
  const start = (task: string) => world.farhandd(["start", "--listen", "127.0.0.1:0", "--task", task]);
  for (const [task, why] of [
    ["counter", "NAME=FILE"],
    [`counter=${world.write("broken.ts", "export default {\n  exec(\n")}`, "broken.ts:"],
    ["counter=/no/such/file.ts", "/no/such/file.ts"],
    [`counter=${world.write("none.ts", "export default { init: () => 1 };")}`, '"exec" is missing'],
  ] as const) {
    const { code, stderr } = await start(task);
    expect([code, stderr]).toEqual([1, expect.stringContaining(why)]);
  }
  expect((await world.farhandd(["status"])).code).toBe(3);
});

test("A task that the server begins with and whose init throws keeps nobody else from using it, and is told to have failed", async () => {
  await using world = setup();
  const file = world.write(
    "throws.ts",
    "export default { init() { throw new Error('not here') }, exec() {} };",
  );
  await world.start(`counter=${file}`);
  expect((await world.farhand(["exec", "true"])).code).toBe(0);
  await eventually(async () => (await world.show()).state === "failed");
  expect(await world.show()).toMatchObject({ error: { message: expect.stringContaining("not here") } });
});
