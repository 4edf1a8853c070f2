import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLog } from "../../../src/lib/log.ts";
import { Module } from "../../../src/server/auth/module.ts";
import { DEFAULT_ROLES } from "../../../src/server/auth/roles.ts";
import { openDirectory } from "../../support/directory.ts";

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "auth.ts");
  const logged: string[] = [];
  const write = (line: string) => void logged.push(line);
  const log = createLog({ level: "debug", format: "json", write, now: () => new Date() });
  const open = (body: string) => {
    writeFileSync(path, body, { mode: 0o600 });
    return Module.open({ path, roles: () => DEFAULT_ROLES, log, patience: 300 });
  };
  const answer = (expression: string) => open(`export const authenticate = (claim: any) => (${expression});`);
  return {
    directory: directory.path,
    path,
    logged,
    log,
    open,
    answer,
    [Symbol.dispose]: directory[Symbol.dispose],
  };
}

const claim = { user: "alice", password: "hush hush", source: "192.0.2.1" };

describe("check()", () => {
  test("has the module decide, by what it imports and whom it is told of", async () => {
    using world = setup();
    writeFileSync(join(world.directory, "friends.ts"), 'export const friends: string[] = ["alice"];');
    const module = await world.open(
      `import { friends } from "./friends.ts";
       export async function authenticate({ user, password, source }: Record<string, string>) {
         await Bun.sleep(1);
         if (friends.includes(user) && password === "hush hush" && source === "192.0.2.1")
           return { user: "alice.ldap", roles: ["viewer"] };
       }`,
    );
    expect(await module.check(claim)).toEqual({ user: "alice.ldap", roles: ["viewer"] });
    expect(await module.check({ ...claim, user: "mallory" })).toBeUndefined();
    expect(world.logged).toEqual([]);
  });

  test.each([
    ["throws", '(() => { throw new Error("no " + claim.password); })()'],
    ["rejects", 'Promise.reject(new Error("no " + claim.password))'],
    ["answers too late", "new Promise(() => {})"],
    ["answers yes", "true"],
    ["answers a name", '"alice"'],
    ["answers no roles", '{ user: "alice" }'],
    ["answers roles that there are not", '{ user: "alice", roles: ["root"] }'],
    ["answers more than it should", '{ user: "alice", roles: [], admin: true }'],
    ["answers this machine's own user", '{ user: "local", roles: ["admin"] }'],
    ["answers a user of two lines", '{ user: "a\\nb", roles: [] }'],
    ["throws what is no error", "Promise.reject(claim.password)"],
  ])("lets nobody in when the module %s, and says so without the password", async (_, expression) => {
    using world = setup();
    const module = await world.answer(expression);
    expect(await module.check(claim)).toBeUndefined();
    expect(world.logged).toHaveLength(1);
    expect(world.logged[0]).toContain("auth.module failed");
    expect(world.logged[0]).not.toContain("hush");
  });

  test.each(["undefined", "null", "false"])(
    "takes %s for a refusal that is none of the log's",
    async (nothing) => {
      using world = setup();
      expect(await (await world.answer(nothing)).check(claim)).toBeUndefined();
      expect(world.logged).toEqual([]);
    },
  );

  test("asks no more at once than it can bear, and lets in who waited", async () => {
    using world = setup();
    const module = await world.open(
      `let open = 0;
       export async function authenticate() {
         if (++open > 8) throw new Error("too many");
         await Bun.sleep(5);
         open--;
         return { user: "alice", roles: [] };
       }`,
    );
    const answers = await Promise.allSettled(Array.from({ length: 80 }, () => module.check(claim)));
    expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(8); // 8 inside, 64 in line
    expect(world.logged).toEqual([]);
  });
});

describe("open()", () => {
  test("loads it as it is now", async () => {
    using world = setup();
    for (const user of ["one", "two"])
      expect(await (await world.answer(`({ user: "${user}", roles: [] })`)).check(claim)).toMatchObject({
        user,
      });
  });

  test.each([
    ["export const other = 1;", "it exports no function authenticate"],
    ["export const authenticate = 1;", "it exports no function authenticate"],
    ["throw new Error('at once');", "at once"],
    ["export {{", "auth.module"],
    ["import 'nowhere-to-be-found';", "nowhere-to-be-found"],
  ])("refuses %j", async (text, why) => {
    using world = setup();
    await expect(world.open(text)).rejects.toThrow(why);
  });

  test("refuses one that others could change, or put another in the place of", async () => {
    using world = setup();
    const module = 'export const authenticate = () => ({ user: "mallory", roles: ["admin"] });';
    await world.open(module);
    chmodSync(world.path, 0o620);
    const again = () => Module.open({ path: world.path, roles: () => DEFAULT_ROLES, log: world.log });
    await expect(again()).rejects.toThrow(`others may write "${world.path}"; run chmod go-w`);
    chmodSync(world.path, 0o600);
    chmodSync(world.directory, 0o777);
    await expect(again()).rejects.toThrow(`others may write "${world.directory}"`);
    chmodSync(world.directory, 0o1777);
    expect(await (await again()).check(claim)).toMatchObject({ user: "mallory" });
  });

  test("refuses what is not there, or no file", async () => {
    using world = setup();
    const open = (path: string) => Module.open({ path, roles: () => DEFAULT_ROLES, log: world.log });
    mkdirSync(join(world.directory, "directory"));
    await expect(open(join(world.directory, "none.ts"))).rejects.toThrow("no such file");
    await expect(open(join(world.directory, "directory"))).rejects.toThrow("it is no file");
  });
});
