import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openAuthDatabase } from "../../../src/server/auth/database.ts";
import { openDirectory } from "../../support/directory.ts";

test("openAuthDatabase() makes it once, and finds again what is in it", () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  for (const count of [1, 2]) {
    using database = openAuthDatabase(path);
    database.run("INSERT INTO uses (link, count, last) VALUES (?, 1, 0)", [String(count)]);
    expect(database.query("SELECT count(*) AS n FROM uses").get()).toEqual({ n: count });
  }
});

test("openAuthDatabase() has every commit on the disk", () => {
  using directory = openDirectory();
  using database = openAuthDatabase(join(directory.path, "auth.db"));
  expect(database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
});

test("openAuthDatabase() refuses one that is damaged or newer, and leaves it as it is", async () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  writeFileSync(path, "no database".repeat(100));
  expect(() => openAuthDatabase(path)).toThrow(
    `Cannot open "${path}": file is not a database; put back a copy of it`,
  );
  expect(await Bun.file(path).text()).toStartWith("no database");
  const newer = join(directory.path, "newer.db");
  using database = openAuthDatabase(newer);
  database.run("PRAGMA user_version = 99");
  expect(() => openAuthDatabase(newer)).toThrow("a newer farhandd wrote it (schema 99); use that version");
});
