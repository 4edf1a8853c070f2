import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openAuthDatabase } from "../../../src/server/auth/database.ts";
import { Uses } from "../../../src/server/auth/uses.ts";
import { openDirectory } from "../../support/directory.ts";

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "auth.db");
  const clock = { now: 1_000 };
  const databases = [openAuthDatabase(path)];
  const open = () => {
    const database = openAuthDatabase(path);
    databases.push(database);
    return new Uses(database, () => clock.now);
  };
  return {
    clock,
    open,
    [Symbol.dispose]: () => {
      for (const database of databases) database.close();
      directory[Symbol.dispose]();
    },
  };
}

const twice = [{ link: "a", uses: 2 }];

describe("spend()", () => {
  test("lets through so many, whoever has the database open, and refuses the next", () => {
    using world = setup();
    const [one, other] = [world.open(), world.open()];
    one.spend(twice, undefined, "x");
    other.spend(twice, undefined, "x");
    for (const uses of [one, other, world.open()])
      expect(() => uses.spend(twice, undefined, 'call "x"')).toThrow(
        expect.objectContaining({
          code: "forbidden",
          message: 'Cannot call "x": your token was narrowed to 2 uses, which are used up',
        }),
      );
  });

  test("counts a job once, however often it is asked for, also with another server", () => {
    using world = setup();
    const job = crypto.randomUUID();
    for (const uses of [world.open(), world.open(), world.open()]) uses.spend(twice, job, "x");
    world.open().spend(twice, crypto.randomUUID(), "x");
    expect(() => world.open().spend(twice, crypto.randomUUID(), "x")).toThrow("used up");
    world.open().spend(twice, job, "x");
  });

  test("counts against every link or none: what is made from a token uses it up", () => {
    using world = setup();
    const uses = world.open();
    uses.spend([...twice, { link: "b", uses: 1 }], undefined, "x");
    expect(() => uses.spend([...twice, { link: "b", uses: 1 }], crypto.randomUUID(), "x")).toThrow("used up");
    uses.spend([...twice, { link: "c", uses: 1 }], undefined, "x");
    expect(() => uses.spend([...twice, { link: "d", uses: 1 }], undefined, "x")).toThrow("used up");
    uses.spend([{ link: "d", uses: 1 }], undefined, "x");
  });

  test("forgets which jobs it was for when none of them can be asked for any more, but not how many", () => {
    using world = setup();
    const uses = world.open();
    const job = crypto.randomUUID();
    uses.spend(twice, job, "x");
    world.clock.now += 25 * 3_600_000;
    uses.spend(twice, job, "x");
    expect(() => uses.spend(twice, crypto.randomUUID(), "x")).toThrow("used up");
  });

  test("of a token that may be used for ever writes nothing", () => {
    using world = setup();
    world.open().spend([], crypto.randomUUID(), "x");
  });
});
