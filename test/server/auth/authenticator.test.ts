import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { createLog } from "../../../src/lib/log.ts";
import { createToken, findToken, formatToken, narrowToken } from "../../../src/protocol/token.ts";
import { Authenticator } from "../../../src/server/auth/authenticator.ts";
import { isSameLogin } from "../../../src/server/auth/identity.ts";
import { createLocalToken } from "../../../src/server/auth/local.ts";
import { ADMIN, OPERATOR, VIEWER } from "../../../src/server/auth/role.ts";
import type { Roles } from "../../../src/server/auth/roles.ts";
import { Store } from "../../../src/server/auth/store.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { createRole } from "../../support/identity.ts";

const DAY = 86_400_000;

/** A server's side, and beside it the verbs of another process, which share nothing but the file. */
function setup() {
  const directory = openDirectory();
  const clock = { now: 1_000_000_000_000 };
  const now = () => clock.now;
  const logged: string[] = [];
  const log = createLog({
    level: "debug",
    format: "json",
    write: (line) => logged.push(line),
    now: () => new Date(),
  });
  const store = new Store(directory.path, now);
  const verbs = new Store(directory.path, now);
  const config = { roles: toRoles(ADMIN, OPERATOR, VIEWER) };
  const { token, credential } = createLocalToken();
  const authenticator = new Authenticator({ local: credential, store, roles: () => config.roles, log, now });
  const create = (name: string, roles: readonly string[] = ["operator"], lifetime = DAY, user = name) =>
    verbs.tokens.create({ name, user, roles, origin: "create", lifetime });
  const present = (text: string) => authenticator.authenticate(text, "192.0.2.1");
  const admit = (text: string) => {
    const identity = present(text);
    if (identity === undefined) throw new Error("Not let in");
    return identity;
  };
  return {
    path: directory.path,
    clock,
    logged,
    verbs,
    store,
    config,
    authenticator,
    local: token,
    create,
    present,
    admit,
    [Symbol.dispose]() {
      store[Symbol.dispose]();
      verbs[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

function toRoles(...roles: readonly (typeof ADMIN)[]): Roles {
  return new Map(roles.map((role) => [role.name, role]));
}

function narrow(text: string, restriction: Parameters<typeof narrowToken>[1]): string {
  const token = findToken(text);
  if (token === undefined) throw new Error("The token has another form");
  return formatToken(narrowToken(token, restriction));
}

describe("authenticate()", () => {
  test("lets in whoever has a token, as its user with its roles, also one that was made a moment ago", () => {
    using world = setup();
    const { text, stored } = world.create("ci", ["viewer"], DAY, "alice");
    const identity = world.admit(text);
    expect(identity).toMatchObject({ owner: "alice", token: stored.id, chain: [], source: "192.0.2.1" });
    expect(() => identity.grants.demandCommand({ name: "ping", permission: "read" })).not.toThrow();
    expect(() => identity.grants.demandCommand({ name: "exec", permission: "exec" })).toThrow("permission");
  });

  test("knows the token of this start, which nothing in the database changes", () => {
    using world = setup();
    world.create("other");
    expect(world.admit(world.local)).toMatchObject({ owner: "local", token: "local" });
  });

  test("lets nobody in with what is not quite a token, or is another's", () => {
    using world = setup();
    const [one, other] = [world.create("one").text, world.create("other").text];
    const mixed = one.slice(0, 20) + other.slice(20);
    const none = [undefined, "", "fh_", one.slice(0, -1), `${one}x`, one.toUpperCase(), mixed];
    for (const text of [...none, formatToken(createToken())])
      expect(world.authenticator.authenticate(text, "::1")).toBeUndefined();
  });

  test("lets in who has a token that was narrowed, until that is over, as a login of its own", () => {
    using world = setup();
    for (const whole of [world.create("ci").text, world.local]) {
      const text = narrow(whole, { commands: ["ping"], expires: world.clock.now / 1_000 + 60 });
      const [all, less] = [world.admit(whole), world.admit(text)];
      expect(isSameLogin(all, less)).toBe(false);
      expect(() => less.grants.demandCommand({ name: "exec", permission: "exec" })).toThrow("narrowed");
      world.clock.now += 60_000;
      expect(world.present(text)).toBeUndefined();
      expect(world.authenticator.isStanding(less)).toBe(false);
      expect(world.authenticator.isStanding(all)).toBe(true);
      expect(world.present(narrow(text, { expires: world.clock.now / 1_000 + 600 }))).toBeUndefined();
    }
  });

  test("lets in no more who was revoked, expired, rotated, or removed with his user", () => {
    using world = setup();
    const [revoked, rotated, removed] = ["a", "b", "c"].map((name) => world.create(name).text);
    const expiring = world.create("d", ["viewer"], 1_000).text;
    const texts = [revoked, rotated, removed, expiring].map((text) => text ?? "");
    const identities = texts.map(world.admit);
    world.verbs.tokens.revoke("a");
    const fresh = world.verbs.tokens.rotate("b", undefined, 0).text;
    world.verbs.users.remove("c");
    world.clock.now += 1_000;
    expect(texts.map(world.present)).toEqual([undefined, undefined, undefined, undefined]);
    expect(world.authenticator.runOnce()).toBe(true);
    expect(identities.map((one) => world.authenticator.isStanding(one))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(world.admit(fresh)).toMatchObject({ owner: "b" });
  });

  test("lets in the old key for as long as it overlaps the new one", () => {
    using world = setup();
    const old = world.create("ci").text;
    const fresh = world.verbs.tokens.rotate("ci", undefined, 60_000).text;
    expect([world.admit(old).owner, world.admit(fresh).owner]).toEqual(["ci", "ci"]);
    world.clock.now += 60_000;
    expect(world.present(old)).toBeUndefined();
    expect(world.admit(fresh).owner).toBe("ci");
  });

  test("sends away whoever was let in by the old key before it was rotated, once the overlap is over", () => {
    using world = setup();
    const before = world.admit(world.create("ci").text);
    world.verbs.tokens.rotate("ci", undefined, 60_000);
    expect(world.authenticator.runOnce()).toBe(true);
    expect(world.authenticator.isStanding(before)).toBe(true);
    world.clock.now += 60_000;
    expect(world.authenticator.runOnce()).toBe(true);
    expect(world.authenticator.isStanding(before)).toBe(false);
  });

  test("gives a token none of the roles that its user has no more, nor one that is not configured", () => {
    using world = setup();
    world.verbs.users.add("alice", "hash", ["viewer"]);
    const both = world.create("t", ["operator", "viewer", "gone"], DAY, "alice").text;
    const may = (permission: "exec" | "read") => {
      try {
        world.admit(both).grants.demandCommand({ name: "x", permission });
        return true;
      } catch {
        return false;
      }
    };
    expect([may("exec"), may("read")]).toEqual([false, true]);
    world.verbs.users.setRoles("alice", ["operator"]);
    expect([may("exec"), may("read")]).toEqual([true, true]);
    world.verbs.users.setRoles("alice", ["gone"]);
    expect([may("exec"), may("read")]).toEqual([false, false]);
  });

  test("does the same work for an unknown id and for a wrong key", () => {
    using world = setup();
    const known = world.create("ci").stored.id;
    const wrong = Array.from({ length: 400 }, () => formatToken({ ...createToken(), id: known }));
    const unknown = Array.from({ length: 400 }, () => formatToken(createToken()));
    const time = (texts: readonly string[]) =>
      texts
        .map((text) => {
          const began = performance.now();
          expect(world.authenticator.authenticate(text, "::1")).toBeUndefined();
          return performance.now() - began;
        })
        .sort((a, b) => a - b)[texts.length / 2] ?? 0;
    time(wrong); // warm
    const ratio = time(wrong) / time(unknown);
    expect(ratio).toBeGreaterThan(0.3);
    expect(ratio).toBeLessThan(3);
  });
});

describe("isStanding()", () => {
  test("counts whoever had a role that is gone, or means less, as gone", () => {
    using world = setup();
    const text = world.create("ci", ["viewer", "operator"]).text;
    const before = world.admit(text);
    world.config.roles = toRoles(ADMIN, OPERATOR, { ...VIEWER });
    world.authenticator.refresh();
    expect(world.authenticator.isStanding(before)).toBe(true);
    world.config.roles = toRoles(ADMIN, OPERATOR, createRole({ name: "viewer", permissions: new Set() }));
    world.authenticator.refresh();
    expect(world.authenticator.isStanding(before)).toBe(false);
    expect(world.authenticator.isStanding(world.admit(text))).toBe(true);
  });

  test("is false for an identity that somebody else made up", () => {
    using world = setup();
    expect(world.authenticator.isStanding({ ...world.admit(world.local) })).toBe(false);
  });
});

describe("runOnce()", () => {
  test("answers once for each change, and when the time of somebody who was let in is over", () => {
    using world = setup();
    world.authenticator.runOnce();
    expect(world.authenticator.runOnce()).toBe(false);
    const short = world.admit(world.create("short", ["viewer"], 5_000).text);
    const long = world.admit(world.create("long").text);
    expect([world.authenticator.runOnce(), world.authenticator.runOnce()]).toEqual([true, false]);
    world.clock.now += 5_000;
    expect(world.authenticator.runOnce()).toBe(true);
    expect([short, long].map((one) => world.authenticator.isStanding(one))).toEqual([false, true]);
    expect(world.authenticator.runOnce()).toBe(false);
    world.clock.now += DAY;
    expect(world.authenticator.runOnce()).toBe(true);
    expect(world.authenticator.isStanding(long)).toBe(false);
  });

  test.each([
    ["is removed", (path: string) => rmSync(path)],
    [
      "holds what nobody can read",
      (path: string) => {
        using database = new Database(path);
        database.run("UPDATE tokens SET roles = 'no JSON'");
      },
    ],
    [
      "is damaged",
      (path: string) => {
        using database = new Database(path);
        database.run("DROP TABLE users");
      },
    ],
  ])("lets nobody in but this machine's user when the database %s", async (_, damage) => {
    using world = setup();
    const text = world.create("ci").text;
    const identity = world.admit(text);
    damage(join(world.path, "auth.db"));
    await eventually(() => {
      world.authenticator.runOnce();
      return world.present(text) === undefined;
    });
    expect(world.authenticator.isStanding(identity)).toBe(false);
    expect(world.admit(world.local).owner).toBe("local");
    expect(world.logged.join("\n")).toContain("tokens cannot be read");
  });
});

test("takeUses() tells of each token when and from where it was presented last", () => {
  using world = setup();
  const { text, stored } = world.create("ci");
  world.admit(text);
  world.clock.now += 5;
  world.authenticator.authenticate(text, "198.51.100.7");
  world.admit(world.local);
  const uses = world.authenticator.takeUses();
  expect([...uses]).toEqual([[stored.id, { used: world.clock.now, source: "198.51.100.7" }]]);
  world.store.tokens.note(uses);
  expect(world.verbs.tokens.list()[0]).toMatchObject({ used: world.clock.now, source: "198.51.100.7" });
  expect(world.authenticator.takeUses().size).toBe(0);
});
