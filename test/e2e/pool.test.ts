import { expect, test } from "bun:test";
import { join } from "node:path";
import { Pool } from "../../src/sdk.ts";
import { openWorld } from "../support/world.ts";

test("the SDK works with two servers from one process", async () => {
  await using worlds = await openTwo();
  const [one, two] = worlds;
  await using pool = new Pool({});
  const member = pool.add(one.local().url, { token: one.local().token });
  const [first, second] = await Promise.all([
    member.connect({ timeout: 10_000 }),
    pool.add(two.local().url, { token: two.local().token }).connect({ timeout: 10_000 }),
  ]);

  const big = "x".repeat(300_000);
  const [cat, pwd] = await Promise.all([
    first.exec(["cat"], { stdin: big }),
    second.exec({ shell: "pwd; echo oops >&2; exit 3" }, { cwd: two.home }),
  ]);
  expect(new TextDecoder().decode(cat.stdout)).toBe(big);
  expect(new TextDecoder().decode(pwd.stdout).trim()).toBe(two.home);
  expect(new TextDecoder().decode(pwd.stderr)).toBe("oops\n");
  expect([cat.outcome, pwd.outcome]).toEqual([
    { type: "exited", code: 0 },
    { type: "exited", code: 3 },
  ]);

  const { number } = await first.start({ shell: "echo begun; sleep 60" });
  await member.disconnect();
  expect(await first.heartbeat()).toBe(false);
  const again = await member.connect();
  const listener = await again.follow(number);
  const seen: string[] = [];
  for await (const packet of listener) {
    if (packet.type === "stdout") {
      seen.push(new TextDecoder().decode(packet.bytes));
      await again.kill(number, { grace: 1_000 });
    }
  }
  expect(seen).toEqual(["begun\n"]);
  expect(await listener.outcome).toMatchObject({ type: "cancelled" });
  expect((await again.wait(number)).result?.outcome).toMatchObject({ type: "cancelled" });
  expect((await second.jobs()).result?.jobs).toHaveLength(1);
  expect(await again.heartbeat({ timeout: 5_000 })).toBe(true);
}, 60_000);

test("each connection has a directory and variables of its own, unless it names a workspace", async () => {
  await using world = openWorld();
  await world.start();
  const { url } = world.local();
  // Each start of a server makes a token, which is read where it leaves it.
  await using pool = new Pool({ ...world.env });
  const member = pool.add(url);
  const web1 = await member.connect({ timeout: 20_000 });
  const raiseError = true;
  await web1.mkdir("a", { raiseError });
  await web1.cd("a", { raiseError });
  await web1.env({ set: { COLOR: "green" }, raiseError });
  const where = "pwd; echo $COLOR";
  const inside = `${join(world.home, "a")}\ngreen\n`;
  expect((await web1.exec(where)).text).toBe(inside);
  await using others = new Pool({ ...world.env });
  const other = await others.add(url).connect({ timeout: 20_000 });
  expect((await other.exec(where)).text).toBe(`${world.home}\n\n`);

  await world.farhandd(["stop"]);
  await world.start("--listen", new URL(url).host);
  expect((await web1.exec(where, { timeout: 30_000 })).text).toBe(inside); // it is the same connection still
  const listed = (await web1.workspaceList({ raiseError })).result.workspaces.map(({ name }) => name);
  expect(listed.filter((name) => name.startsWith("@"))).toEqual([]);
  await member.disconnect();
  const again = await member.connect({ timeout: 20_000 });
  expect((await again.exec(where)).text).toBe(`${world.home}\n\n`);

  const named = [pool.add(url, { workspace: "build" }), others.add(url, { workspace: "build" })];
  const [first, second] = await Promise.all(named.map((build) => build.connect({ timeout: 20_000 })));
  await first?.cd("a", { raiseError });
  expect((await second?.cwd())?.result).toMatchObject({ cwd: join(world.home, "a") });
  expect(() => pool.add(url, { workspace: "../x" })).toThrow("Cannot use workspace");
}, 60_000);

async function openTwo() {
  const worlds = [openWorld(), openWorld()] as const;
  await Promise.all(worlds.map((world) => world.start()));
  return Object.assign(worlds, {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(worlds.map((world) => world[Symbol.asyncDispose]()));
    },
  });
}
