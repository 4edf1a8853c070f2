import { describe, expect, test } from "bun:test";
import type { Directory } from "../../../src/server/logins/directory.ts";
import { parseGroup, parseUser, type UserEntry } from "../../../src/server/logins/entry.ts";
import { toGround } from "../../../src/server/logins/login.ts";
import { Logins } from "../../../src/server/logins/logins.ts";

const ann: UserEntry = { name: "ann", uid: 1000, gid: 1001, home: "/", shell: "/usr/bin/zsh" };
const root: UserEntry = { name: "root", uid: 0, gid: 0, home: "/root", shell: "/bin/sh" };

/** A machine that knows two users and one group, and counts how often it is asked. */
function setup({ uid }: { readonly uid: number | undefined } = { uid: 0 }) {
  const users = new Map([ann, root].map((user) => [user.name, user]));
  let asked = 0;
  let now = 0;
  const directory: Directory = {
    async findUser(key) {
      asked++;
      return users.get(key) ?? [...users.values()].find((user) => String(user.uid) === key);
    },
    findGroup: async (key) => (key === "staff" ? { name: "staff", gid: 50, members: ["ann"] } : undefined),
    listGroups: async () => [1001, 50, 27],
  };
  const logins = new Logins({ directory, uid, now: () => now });
  return { logins, users, asked: () => asked, wait: (ms: number) => void (now += ms) };
}

describe("Logins", () => {
  test("knows a user by name or number, with all his groups, or with another primary one instead of his", async () => {
    const { logins } = setup();
    const login = { name: "ann", home: "/", shell: "/usr/bin/zsh" };
    const credentials = { uid: 1000, gid: 1001, groups: [1001, 50, 27] };
    expect(await logins.find("ann")).toEqual({ runAs: "ann", ...login, credentials });
    expect(await logins.find("1000")).toMatchObject({ name: "ann", credentials });
    expect((await logins.find("ann:staff")).credentials).toEqual({ uid: 1000, gid: 50, groups: [50, 27] });
    expect((await logins.find("ann:77")).credentials).toEqual({ uid: 1000, gid: 77, groups: [77, 50, 27] });
    expect(await logins.find("4000:4001")).toMatchObject({
      name: "4000",
      home: "/",
      shell: "/bin/sh",
      credentials: { uid: 4000, gid: 4001, groups: [4001] },
    });
  });

  test("refuses whom nobody can become, and root by any name", async () => {
    const { logins } = setup();
    const cases = {
      bob: "knows no such user",
      "4000": "name one",
      "ann:nobody": "knows no such group",
      root: "that is root",
      "0": "that is root",
      "0:0": "that is root",
      "root:staff": "that is root",
      "-u": "neither",
      "ann:staff:x": "neither",
      "ann\n": "neither",
      "": "neither",
      "4294967295:1": "knows no such user",
    };
    for (const [runAs, why] of Object.entries(cases))
      await expect(logins.find(runAs)).rejects.toMatchObject({
        code: "invalid_config",
        message: expect.stringContaining(why),
      });
  });

  test("refuses everybody where the server is not root, or the system has no way to", async () => {
    const cases = [
      [1000, "runs as user 1000"],
      [undefined, "no way to"],
    ] as const;
    for (const [uid, why] of cases)
      await expect(setup({ uid }).logins.find("ann")).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringContaining(why),
      });
  });

  test("takes a user for unchanged for a few seconds, and no longer", async () => {
    const { logins, users, asked, wait } = setup();
    await logins.find("ann");
    await logins.find("ann");
    expect(asked()).toBe(1);
    users.delete("ann");
    wait(10_000);
    await expect(logins.find("ann")).rejects.toMatchObject({ code: "invalid_config" });
    users.set("ann", ann);
    expect((await logins.find("ann")).name).toBe("ann");
  });
});

test("toGround() gives the environment of a login, and of the server's own only how people write and tell the time", async () => {
  const { logins } = setup();
  const own = {
    LANG: "de_DE.UTF-8",
    LC_TIME: "C",
    TZ: "UTC",
    TOKEN: "x",
    LD_PRELOAD: "y",
    PATH: "/opt",
    HOME: "/root",
  };
  const { home, environment } = toGround(await logins.find("ann"), own);
  expect(Buffer.from(home).toString()).toBe("/");
  expect(environment).toEqual({
    LANG: "de_DE.UTF-8",
    LC_TIME: "C",
    TZ: "UTC",
    HOME: "/",
    USER: "ann",
    LOGNAME: "ann",
    SHELL: "/usr/bin/zsh",
    PATH: expect.stringMatching(/^\/usr/),
  });
});

test("parseUser() and parseGroup() read passwd(5), macOS's too, and group(5)", () => {
  expect(parseUser("ann:x:1000:1001:Ann Lee,,,:/home/ann:/usr/bin/zsh")).toEqual({
    ...ann,
    home: "/home/ann",
  });
  expect(parseUser("ann:*:501:20::0:0:Ann:/Users/ann:/bin/zsh")).toMatchObject({
    uid: 501,
    gid: 20,
    home: "/Users/ann",
    shell: "/bin/zsh",
  });
  for (const line of ["", "# comment", "+::::::", "ann:x::0::/:", "ann:x:-1:0::/:"])
    expect(parseUser(line)).toBeUndefined();
  expect(parseGroup("staff:x:50:ann,bob")).toEqual({ name: "staff", gid: 50, members: ["ann", "bob"] });
  expect(parseGroup("staff:x:50:")).toEqual({ name: "staff", gid: 50, members: [] });
  expect(parseGroup("staff")).toBeUndefined();
});
