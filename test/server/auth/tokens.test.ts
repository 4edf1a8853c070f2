import { describe, expect, test } from "bun:test";
import { MAX_LOGINS } from "../../../src/server/auth/tokens.ts";
import { Store } from "../../../src/server/auth/store.ts";
import { openDirectory } from "../../support/directory.ts";

const DAY = 86_400_000;

function setup() {
  const directory = openDirectory();
  const clock = { now: 1_000_000_000_000 };
  const store = new Store(directory.path, () => clock.now);
  const { tokens } = store;
  const create = (name: string, lifetime = DAY) =>
    tokens.create({ name, user: "u", roles: ["viewer"], origin: "create", lifetime });
  const login = () => tokens.mint("u", { user: "u", roles: [], origin: "login", lifetime: DAY });
  const names = () => tokens.list().map(({ name }) => name);
  return {
    clock,
    store,
    tokens,
    create,
    login,
    names,
    [Symbol.dispose]() {
      store[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

describe("create()", () => {
  test("takes a name once, until what has it is over", () => {
    using world = setup();
    world.create("ci");
    expect(() => world.create("ci")).toThrow('Cannot create token "ci": there is one');
    world.clock.now += DAY;
    expect(world.create("ci").stored.expires).toBe(world.clock.now + DAY);
    expect(world.names()).toEqual(["ci"]);
  });

  test("forgets what expired a week ago", () => {
    using world = setup();
    world.create("old");
    world.clock.now += 7 * DAY;
    world.create("new");
    expect(world.names()).toEqual(["new", "old"]);
    world.clock.now += DAY + 1;
    world.create("newer");
    expect(world.names()).toEqual(["new", "newer"]);
  });
});

test("mint() keeps so many logins of a user, and lets the one go that was of no use for longest", () => {
  using world = setup();
  world.create("made");
  const [first, second] = [world.login(), world.login()];
  for (let n = 2; n < MAX_LOGINS; n++) {
    world.clock.now++;
    world.login();
  }
  world.tokens.note(new Map([[first.stored.id, { used: world.clock.now, source: "::1" }]]));
  world.clock.now++;
  world.login();
  const ids = world.tokens.list().map(({ id }) => id);
  expect(ids).toHaveLength(MAX_LOGINS + 1);
  expect([
    ids.includes(first.stored.id),
    ids.includes(second.stored.id),
    world.names().includes("made"),
  ]).toEqual([true, false, true]);
});

describe("rotate()", () => {
  test("gives as long a life as before, or the one that is said, and keeps user and roles", () => {
    using world = setup();
    const { stored } = world.create("ci", 5 * DAY);
    world.clock.now += DAY;
    const same = world.tokens.rotate("ci", undefined, 0).stored;
    expect(same).toMatchObject({
      name: "ci",
      user: "u",
      roles: ["viewer"],
      expires: world.clock.now + 5 * DAY,
    });
    expect(same.id).not.toBe(stored.id);
    expect(world.tokens.rotate(same.id, Number.POSITIVE_INFINITY, 0).stored.expires).toBeNull();
    expect(world.tokens.rotate("ci", undefined, 0).stored.expires).toBeNull();
    expect(world.names()).toEqual(["ci"]);
  });

  test("never makes an old one live longer", () => {
    using world = setup();
    world.create("ci", 1_000);
    world.tokens.rotate("ci", DAY, 3_600_000);
    world.tokens.rotate("ci", DAY, 60_000);
    expect(world.tokens.list().map(({ expires }) => (expires ?? 0) - world.clock.now)).toEqual([
      1_000,
      60_000,
      DAY,
    ]);
  });
});

test("revoke() ends all of a name, or the one with an id", () => {
  using world = setup();
  const { stored } = world.create("ci");
  world.tokens.rotate("ci", undefined, DAY);
  expect(world.tokens.revoke(stored.id)).toHaveLength(1);
  world.tokens.rotate("ci", undefined, DAY);
  expect(world.tokens.revoke("ci")).toHaveLength(2);
  expect(() => world.tokens.revoke("ci")).toThrow("there is none of that name or id");
});

test("a new password ends what the old one was traded for, and a login that was under way", () => {
  using world = setup();
  world.store.users.add("u", "old", ["viewer"]);
  world.create("made");
  world.login();
  const admitted = { user: "u", roles: ["viewer"], hash: "old" };
  expect(world.store.login(admitted, "u", DAY)?.stored.origin).toBe("login");
  expect(world.store.users.setHash("u", "new")).toBe(2);
  expect(world.names()).toEqual(["made"]);
  expect(world.store.login(admitted, "u", DAY)).toBeUndefined();
  expect(world.store.users.remove("u")).toBe(1);
  expect(world.store.login({ ...admitted, hash: "new" }, "u", DAY)).toBeUndefined();
});
