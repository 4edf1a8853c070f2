import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findLabels, writeLabels } from "../../src/ledger/labels.ts";
import { claimLedger, findStart } from "../../src/ledger/start.ts";
import { openDirectory } from "../support/directory.ts";
import { createStart } from "../support/start.ts";
import { testIf } from "../support/test-if.ts";

function setup() {
  const parent = openDirectory();
  const directory = join(parent.path, "ledger");
  claimLedger(directory, createStart({ labels: { first: "1" } }))?.[Symbol.dispose]();
  return { directory, [Symbol.dispose]: () => parent[Symbol.dispose]() };
}

test("labels are those of the start until they are changed, and the last ones then", () => {
  using world = setup();
  expect(findLabels(world.directory)).toBeUndefined();
  expect(findStart(world.directory)?.labels).toEqual({ first: "1" });
  writeLabels(world.directory, { a: "1", constructor: "x" });
  writeLabels(world.directory, { b: "2", constructor: "x" });
  expect(findStart(world.directory)?.labels).toEqual({ b: "2", constructor: "x" });
  writeLabels(world.directory, {});
  expect(findStart(world.directory)?.labels).toEqual({});
});

test("writeLabels() leaves one file that only its user may read", () => {
  using world = setup();
  writeLabels(world.directory, { a: "1" });
  expect(readdirSync(world.directory).sort()).toEqual(["labels.json", "start.ndjson"]);
  expect(statSync(join(world.directory, "labels.json")).mode & 0o777).toBe(0o600);
});

test("a file that is damaged, or says what no label may, is no labels", () => {
  using world = setup();
  for (const text of ["", "{", '{"format":1,"labels":{"-x":"1"}}', '{"format":2,"labels":{}}']) {
    writeFileSync(join(world.directory, "labels.json"), text);
    expect(findStart(world.directory)?.labels).toEqual({ first: "1" });
  }
});

test("writeLabels() that fails leaves the labels that there were", () => {
  using world = setup();
  writeLabels(world.directory, { a: "1" });
  mkdirSync(join(world.directory, "labels.json.new")); // what the draft would be called
  expect(() => writeLabels(world.directory, { a: "2" })).toThrow();
  expect(findLabels(world.directory)).toEqual({ a: "1" });
});

testIf(process.getuid?.() !== 0, "root may write everywhere")(
  "writeLabels() throws the system's error in a directory that cannot be written",
  () => {
    using world = setup();
    chmodSync(world.directory, 0o500);
    expect(() => writeLabels(world.directory, { a: "1" })).toThrow(
      expect.objectContaining({ code: "EACCES" }),
    );
    chmodSync(world.directory, 0o700);
  },
);
