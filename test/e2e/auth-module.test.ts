import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

/** The worked example of the README, with a directory of friends beside it. */
const MODULE = `import { lookUp } from "./directory.ts";

export async function authenticate({ user, password }: { user: string; password: string }) {
  const entry = await lookUp(user);
  if (entry === undefined || !(await Bun.password.verify(password, entry.hash))) return undefined;
  return { user, roles: entry.groups.includes("ops") ? ["operator"] : ["viewer"] };
}
`;

async function setup() {
  const world = openWorld();
  const hash = await Bun.password.hash("a password of the directory");
  const directory = `const entries: Record<string, { hash: string; groups: string[] }> = { alice: { hash: ${JSON.stringify(hash)}, groups: ["ops"] } };
    export const lookUp = async (user: string) => entries[user];`;
  writeFileSync(join(world.home, "directory.ts"), directory);
  writeFileSync(join(world.home, "auth.ts"), MODULE);
  writeFileSync(join(world.home, "farhandd.toml"), '[auth]\nmodule = "auth.ts"\n');
  const start = () => world.start("--config", join(world.home, "farhandd.toml"), "--listen", "127.0.0.1:0");
  const login = (user: string, password: string) =>
    fetch(`${world.local().url}/v1/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ user, password }),
    });
  return { ...world, start, login };
}

describe("auth.module", () => {
  test("decides who may log in, with roles of its choice, instead of the users' table", async () => {
    await using world = await setup();
    const stdin = "correct horse battery staple";
    await world.farhandd(["user", "add", "bob", "--password-stdin"], { stdin });
    await world.start();
    expect((await world.login("bob", stdin)).status).toBe(401);
    expect((await world.login("alice", "another")).status).toBe(401);
    const answer = await world.login("alice", "a password of the directory");
    const { token } = (await answer.json()) as { token: string };
    const env = { FARHAND_TOKEN: token, FARHAND_STATE: undefined };
    const ran = await world.farhand(["-H", world.local().url, "exec", "--", "echo", "in"], { env });
    expect(ran).toMatchObject({ code: 0, stdout: "in\n" });
  });

  test("that fails opens no door, and takes nothing else with it", async () => {
    await using world = await setup();
    writeFileSync(
      join(world.home, "auth.ts"),
      "export const authenticate = (c: any) => { throw new Error(c.password); };",
    );
    await world.start();
    const answer = await world.login("alice", "my secret password");
    expect([answer.status, await answer.text()]).toEqual([401, expect.not.stringContaining("Error")]);
    const log = readFileSync(join(world.state, "logs", "server.log"), "utf8");
    expect(log).toContain("auth.module failed");
    expect(log).not.toContain("my secret");
    expect((await world.farhand(["ping"])).code).toBe(0);
  });

  test("is loaded anew by farhandd reload; one that is broken leaves the old one in its place", async () => {
    await using world = await setup();
    await world.start();
    const write = (text: string) => writeFileSync(join(world.home, "auth.ts"), text);
    write('export const authenticate = () => ({ user: "anybody", roles: ["viewer"] });');
    expect((await world.login("x", "y")).status).toBe(401);
    expect((await world.farhandd(["reload"])).code).toBe(0);
    expect((await world.login("x", "y")).status).toBe(200);
    write("export const other = 1;");
    const ran = await world.farhandd(["reload", "--json"]);
    expect([ran.code, ran.stdout]).toEqual([
      1,
      expect.stringContaining("it exports no function authenticate"),
    ]);
    expect((await world.login("x", "y")).status).toBe(200);
    writeFileSync(join(world.home, "farhandd.toml"), "");
    expect((await world.farhandd(["reload"])).code).toBe(0);
    expect((await world.login("x", "y")).status).toBe(401);
  });

  test("that others could write keeps the server from starting, with a sentence", async () => {
    await using world = await setup();
    chmodSync(join(world.home, "auth.ts"), 0o666);
    const ran = await world.farhandd(["start", "--config", join(world.home, "farhandd.toml")]);
    expect([ran.code, ran.stderr]).toEqual([
      1,
      expect.stringMatching(/^farhandd: Cannot use auth\.module .*chmod go-w[^\n]*\n$/),
    ]);
  });
});

test("a role that a reload takes something from sends away who had it, and lets him in with what is left", async () => {
  await using world = await setup();
  const config = join(world.home, "farhandd.toml");
  writeFileSync(config, '[roles.runner]\npermissions = ["read", "exec"]\n');
  await world.start();
  const token = (
    await world.farhandd(["token", "create", "ci", "--role", "runner", "--config", config])
  ).stdout.trim();
  const env = { FARHAND_TOKEN: token, FARHAND_STATE: undefined };
  const at = ["farhand", "-H", world.local().url];
  const stream = world.open([...at, "exec", "--", "sh", "-c", "while :; do echo on; sleep 0.05; done"], {
    env,
  });
  await eventually(() => stream.said().includes("on\n"));
  writeFileSync(config, '[roles.runner]\npermissions = ["read"]\n');
  expect((await world.farhandd(["reload"])).code).toBe(0);
  expect(await stream.ran).toMatchObject({
    code: 125,
    stderr: expect.stringContaining("not valid any more"),
  });
  const [, ...rest] = at;
  expect((await world.farhand([...rest, "jobs"], { env })).code).toBe(0);
  expect((await world.farhand([...rest, "exec", "--", "true"], { env })).stderr).toContain('"exec"');
});
