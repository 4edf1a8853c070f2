import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { MAX_COUNTED_LINKS } from "../../../src/protocol/limits.ts";
import { openAuthDatabase } from "../../../src/server/auth/database.ts";
import { Uses } from "../../../src/server/auth/uses.ts";
import { openDirectory } from "../../support/directory.ts";
import { createIdentity } from "../../support/identity.ts";

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "auth.db");
  const clock = { now: 1_000 };
  const databases = [openAuthDatabase(path)];
  const open = () => {
    const database = openAuthDatabase(path);
    databases.push(database);
    database.run("PRAGMA synchronous = OFF"); // the disk is not what is tested
    return new Uses(database, () => clock.now);
  };
  /** Uses so many links once. */
  const fill = (links: number) =>
    databases[0]?.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       INSERT INTO uses (link, token, count) SELECT 'n' || i, 'local', 1 FROM n`,
      [links],
    );
  return {
    clock,
    open,
    fill,
    [Symbol.dispose]: () => {
      for (const database of databases) database.close();
      directory[Symbol.dispose]();
    },
  };
}

/** Somebody whose token was narrowed, link by link, to so many uses. */
function createNarrowed(links: Readonly<Record<string, number>>, token = "local") {
  const restrictions = Object.values(links).map((uses) => ({ uses }));
  return createIdentity({ token, chain: Object.keys(links), restrictions });
}

const twice = createNarrowed({ a: 2 });

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
    uses.spend(createNarrowed({ a: 2, b: 1 }), undefined, "x");
    expect(() => uses.spend(createNarrowed({ a: 2, b: 1 }), crypto.randomUUID(), "x")).toThrow("used up");
    uses.spend(createNarrowed({ a: 2, c: 1 }), undefined, "x");
    expect(() => uses.spend(createNarrowed({ a: 2, d: 1 }), undefined, "x")).toThrow("used up");
    uses.spend(createNarrowed({ d: 1 }), undefined, "x");
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

  test("keeps a count for as long as its link could be used, and of so many only", () => {
    using world = setup();
    const uses = world.open();
    const ending = createIdentity({ chain: ["e"], restrictions: [{ uses: 1, expires: 2 }] });
    uses.spend(ending, undefined, "x");
    world.fill(MAX_COUNTED_LINKS - 1);
    expect(() => uses.spend(createNarrowed({ more: 1 }), undefined, "x")).toThrow(
      expect.objectContaining({ code: "too_many" }),
    );
    uses.spend(createNarrowed({ another: 1 }, "another"), undefined, "x");
    world.clock.now = 2_000; // the end of the first
    uses.spend(createNarrowed({ more: 1 }), undefined, "x");
    uses.begin();
    uses.spend(createNarrowed({ n1: 1 }), undefined, "x");
  });

  test("of a token that may be used for ever writes nothing", () => {
    using world = setup();
    world.open().spend(createIdentity(), crypto.randomUUID(), "x");
  });
});
