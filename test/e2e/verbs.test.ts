import { expect, setDefaultTimeout, test } from "bun:test";
import { writeApart } from "../support/apart.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  return world;
}

test("follow --timestamps begins each line with the time at which it was written", async () => {
  await using world = await setup();
  const before = Date.now();
  const job = await world.detach("--shell", "echo one; sleep 1; echo two; printf three");
  await world.farhand(["wait", job]);
  const { code, stdout } = await world.farhand(["follow", job, "--timestamps"]);
  const lines = stdout.trimEnd().split("\n");
  const times = lines.map((line) => Date.parse(line.slice(0, line.indexOf(" "))));
  expect([code, lines.map((line) => line.slice(line.indexOf(" ") + 1))]).toEqual([
    0,
    ["one", "two", "three"],
  ]);
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(500);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(before - 1_000);
  expect(Math.max(...times)).toBeLessThanOrEqual(Date.now() + 1_000);
});

test("follow --since and --recent begin where they are told", async () => {
  await using world = await setup();
  const job = await writeApart(world, ["1", "2", "3", "4"]);
  await world.farhand(["wait", job]);
  const said = async (...args: string[]) => (await world.farhand(["follow", job, ...args])).stdout;
  expect(await said("--since", "2")).toBe("3\n4\n");
  expect(await said("--since", "99")).toBe("");
  // The last three packets are the fourth line, the exit and the close.
  expect(await said("--recent", "3")).toBe("4\n");
});

test("ping shows each round trip and a summary, and exits by the result", async () => {
  await using world = await setup();
  const plain = await world.farhand(["ping", "-c", "3", "-i", "10ms"]);
  expect(plain).toMatchObject({ code: 0, stderr: "" });
  expect(plain.stdout.match(/\d+(?:\.\d+)? ms/g)?.length).toBeGreaterThanOrEqual(3);
  const json = await world.farhand(["ping", "-c", "2", "-i", "10ms", "--json"]);
  expect([json.code, JSON.parse(json.stdout)]).toMatchObject([
    0,
    { count: 2, times: [expect.any(Number), expect.any(Number)] },
  ]);
  expect((await world.farhandd(["stop"])).code).toBe(0);
  expect(await world.farhand(["ping", "-c", "1"])).toMatchObject({ code: 125, stdout: "" });
});
