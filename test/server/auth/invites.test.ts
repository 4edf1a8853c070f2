import { expect, test } from "bun:test";
import { Store } from "../../../src/server/auth/store.ts";
import { toStem } from "../../../src/server/auth/invites.ts";
import { openDirectory } from "../../support/directory.ts";

const MINUTE = 60_000;

function setup() {
  const directory = openDirectory();
  const clock = { now: 1_000_000_000_000 };
  const [store, other] = [0, 1].map(() => new Store(directory.path, () => clock.now));
  if (store === undefined || other === undefined) throw new Error("There are two");
  const invite = (lifetime = 90 * MINUTE) =>
    store.invites.create({ user: "alice", roles: ["viewer"], life: 10 * MINUTE, lifetime });
  return {
    clock,
    store,
    other,
    invite,
    [Symbol.dispose]() {
      store[Symbol.dispose]();
      other[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

test("claim() trades a secret for a token of its user, once, in whichever process", () => {
  using world = setup();
  const secret = world.invite();
  const minted = world.other.invites.claim(secret, "laptop");
  expect(minted?.stored).toMatchObject({
    user: "alice",
    roles: ["viewer"],
    origin: "join",
    expires: world.clock.now + 90 * MINUTE,
  });
  expect(minted?.stored.name).toMatch(/^alice@laptop-[0-9a-f]{8}$/);
  for (const store of [world.store, world.other])
    expect(store.invites.claim(secret, "laptop")).toBeUndefined();
  expect(world.store.tokens.list().map(({ name }) => name)).toEqual([minted?.stored.name ?? ""]);
});

test("claim() takes none that is over, wrong, or of a user who was removed", () => {
  using world = setup();
  const [late, removed] = [world.invite(), world.invite()];
  expect(world.store.invites.claim("", undefined)).toBeUndefined();
  expect(world.store.invites.claim(late.slice(1), undefined)).toBeUndefined();
  world.clock.now += 10 * MINUTE;
  expect(world.store.invites.claim(late, undefined)).toBeUndefined();
  world.clock.now -= 1;
  world.store.users.remove("alice");
  expect(world.store.invites.claim(removed, undefined)).toBeUndefined();
  expect(world.store.tokens.list()).toEqual([]);
});

test("claim() keeps an invitation whose token cannot be made", () => {
  using world = setup();
  const secret = world.invite();
  const mint = world.store.tokens.mint;
  world.store.tokens.mint = () => {
    throw new Error("no");
  };
  expect(() => world.store.invites.claim(secret, undefined)).toThrow("no");
  world.store.tokens.mint = mint;
  expect(world.store.invites.claim(secret, undefined)?.stored.user).toBe("alice");
});

test("a token of an invitation for ever never ends", () => {
  using world = setup();
  expect(
    world.store.invites.claim(world.invite(Number.POSITIVE_INFINITY), undefined)?.stored.expires,
  ).toBeNull();
});

test.each([
  ["laptop", "alice@laptop"],
  [undefined, "alice"],
  ["", "alice"],
  ["\n\u001b[31m", "alice@31m"],
  ["my laptop's", "alice@my-laptop-s"],
  ["../..", "alice@..-.."],
])("toStem() makes a name of %j that is safe to show", (client, stem) => {
  expect(toStem("alice", client)).toBe(stem);
});
