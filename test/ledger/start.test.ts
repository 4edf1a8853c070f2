import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  claimLedger,
  dismantleLedger,
  findProcess,
  findStart,
  findStartFault,
  hasLedger,
  removeLedger,
} from "../../src/ledger/start.ts";
import { openDirectory } from "../support/directory.ts";
import { createStart } from "../support/start.ts";

function setup() {
  const directory = openDirectory();
  const start = createStart({ number: 7, argv: ["echo", "ü", "a b"], envNames: ["PATH"] });
  return {
    path: join(directory.path, "ledger"),
    start,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

test("claimLedger makes a ledger with its start record, once", () => {
  using world = setup();
  const { path, start } = world;
  using claim = claimLedger(path, start);
  expect(claim).toBeDefined();
  expect(findStart(path)).toEqual(start);
  expect(claimLedger(path, { ...start, number: 8 })).toBeUndefined();
  expect(findStart(path)).toEqual(start);
});

test("claimLedger throws the system's error where no directory can be made", () => {
  using world = setup();
  const { path, start } = world;
  expect(() => claimLedger(join(path, "deeper"), start)).toThrow(expect.objectContaining({ code: "ENOENT" }));
});

test("findStart finds nothing in a claim that was cut short, wherever it was cut", () => {
  using world = setup();
  const { path, start } = world;
  expect(findStart(path)).toBeUndefined();
  mkdirSync(path);
  expect(findStart(path)).toBeUndefined();
  const whole = JSON.stringify(start);
  for (let size = 0; size < whole.length; size += 5) {
    writeFileSync(join(path, "start.ndjson"), whole.slice(0, size));
    expect(findStart(path)).toBeUndefined();
  }
});

test("findStart finds nothing in a record of another format", () => {
  using world = setup();
  const { path, start } = world;
  claimLedger(path, start)?.[Symbol.dispose]();
  writeFileSync(join(path, "start.ndjson"), JSON.stringify({ ...start, format: 2 }));
  expect(findStart(path)).toBeUndefined();
});

test("findStartFault tells why there is none", () => {
  using world = setup();
  const { path, start } = world;
  expect(findStartFault(path)).toBe("missing");
  claimLedger(path, start)?.[Symbol.dispose]();
  expect(findStartFault(path)).toBeUndefined();
  writeFileSync(join(path, "start.ndjson"), JSON.stringify({ format: 2, job: ["strange"] }));
  expect(findStartFault(path)).toBe("newer");
  for (const text of ["", "{", "null", "7", '{"format":1}', '{"format":"2"}']) {
    writeFileSync(join(path, "start.ndjson"), text);
    expect(findStartFault(path), text).toBe("unreadable");
  }
});

test("removeLedger removes everything of a ledger, its start record first, and a second time nothing", () => {
  using world = setup();
  const { path, start } = world;
  claimLedger(path, start)?.[Symbol.dispose]();
  for (let segment = 0; segment < 3; segment++) writeFileSync(join(path, `${segment}.seg`), "x");
  const steps = dismantleLedger(path);
  steps.next();
  expect([hasLedger(path), readdirSync(path)]).toEqual([
    false,
    expect.arrayContaining(["0.seg", "1.seg", "2.seg"]),
  ]);
  // As one that is cut short here does.
  removeLedger(path);
  expect(existsSync(path)).toBe(false);
  removeLedger(path);
});

test("findProcess gives back the process that was noted, and nothing of a torn note", () => {
  using world = setup();
  const { path, start } = world;
  using claim = claimLedger(path, start);
  expect(findProcess(path)).toBeUndefined();
  const identity = { pid: 4711, startTime: "998877" };
  claim?.noteProcess(identity);
  expect(findProcess(path)).toEqual(identity);
  const file = join(path, "start.ndjson");
  const whole = readFileSync(file);
  const first = whole.indexOf("\n") + 1;
  for (let size = first; size < whole.length - 1; size++) {
    truncateSync(file, size);
    expect(findProcess(path)).toBeUndefined();
    expect(findStart(path)).toEqual(start);
    writeFileSync(file, whole);
  }
});
