import { expect, test } from "bun:test";
import { chmodSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openAuthDatabase } from "../../../src/server/auth/database.ts";
import { openDirectory } from "../../support/directory.ts";

test("openAuthDatabase() makes it once, and finds again what is in it", () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  for (const count of [1, 2]) {
    using database = openAuthDatabase(path);
    database.run("INSERT INTO uses (link, token, count) VALUES (?, 'local', 1)", [String(count)]);
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
  writeFileSync(path, "no database".repeat(100), { mode: 0o600 });
  expect(() => openAuthDatabase(path)).toThrow(
    `Cannot open "${path}": file is not a database; put back a copy of it`,
  );
  expect(await Bun.file(path).text()).toStartWith("no database");
  const newer = join(directory.path, "newer.db");
  using database = openAuthDatabase(newer);
  database.run("PRAGMA user_version = 99");
  expect(() => openAuthDatabase(newer)).toThrow("a newer farhandd wrote it (schema 99); use that version");
});

test("openAuthDatabase() refuses one that has lost everything, and makes none in its place", () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  writeFileSync(path, "", { mode: 0o600 });
  expect(() => openAuthDatabase(path)).toThrow("there is nothing in it; put back a copy of it");
  expect(statSync(path).size).toBe(0);
});

test("openAuthDatabase() makes it for its user alone, whatever the umask, and uses none that others may read", () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  const umask = process.umask(0);
  try {
    using database = openAuthDatabase(path);
    database.run("INSERT INTO uses (link, token, count) VALUES ('a', 'local', 1)");
    const modes = readdirSync(directory.path).map(
      (name) => statSync(join(directory.path, name)).mode & 0o777,
    );
    expect(modes).toEqual([0o600, 0o600, 0o600]); // itself, -wal, and -shm
  } finally {
    process.umask(umask);
  }
  chmodSync(path, 0o640);
  expect(() => openAuthDatabase(path)).toThrow(`others may read it; run chmod 600 ${path}`);
});

test("openAuthDatabase() makes one where several begin at once", async () => {
  using directory = openDirectory();
  const path = join(directory.path, "auth.db");
  const script = `const { openAuthDatabase } = await import("${join(import.meta.dir, "../../../src/server/auth/database.ts")}");
    const database = openAuthDatabase("${path}"); database.run("INSERT INTO uses VALUES ('" + process.pid + "', 'local', 1, 0)")`;
  const all = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" }),
  );
  for (const one of all) expect([await one.exited, await one.stderr.text()]).toEqual([0, ""]);
  using database = openAuthDatabase(path);
  expect(database.query("SELECT count(*) AS n FROM uses").get()).toEqual({ n: 4 });
  expect(readdirSync(directory.path).filter((name) => !name.startsWith("auth.db"))).toEqual([]);
});
