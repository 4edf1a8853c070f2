import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeWholeFile } from "../../src/lib/whole-file.ts";
import { openDirectory } from "../support/directory.ts";

test("writeWholeFile() replaces a file by one for its user alone, whatever the umask and an ended writer have left", () => {
  using directory = openDirectory();
  const path = join(directory.path, "file");
  writeFileSync(path, "before", { mode: 0o644 });
  writeFileSync(`${path}.new`, "half of wh", { mode: 0o666 });
  const umask = process.umask(0);
  writeWholeFile(path, "after\n");
  process.umask(umask);
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["after\n", 0o600]);
  expect(readdirSync(directory.path)).toEqual(["file"]);
});

test("writeWholeFile() leaves nothing of what it could not write", () => {
  using directory = openDirectory();
  const path = join(directory.path, "taken");
  mkdirSync(path);
  expect(() => writeWholeFile(path, "x")).toThrow();
  expect(readdirSync(directory.path)).toEqual(["taken"]);
});
