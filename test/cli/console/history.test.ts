import { expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { History } from "../../../src/cli/console/history.ts";
import { openDirectory } from "../../support/directory.ts";

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "state", "console-history");
  return { directory, path, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

test("History keeps lines for the next console, in a file that only the user can read", () => {
  using world = setup();
  const history = new History(world.path);
  for (const line of ["ls", "ls", "  secret", "", "jobs", "ls"]) history.add(line);
  for (const line of ["exec --secret KEY=hunter2 -- true", "exec --secret=KEY=hunter2 -- true"])
    history.add(line);
  expect(readFileSync(world.path, "utf8")).not.toContain("hunter2");
  expect(history.lines).toEqual(["ls", "jobs", "ls"]);
  expect(new History(world.path).lines).toEqual(["ls", "jobs", "ls"]);
  expect(statSync(world.path).mode & 0o777).toBe(0o600);
});

test("History closes a file that others may read, and leaves one alone that a link leads to", () => {
  using world = setup();
  new History(world.path).add("one");
  chmodSync(world.path, 0o644);
  expect(new History(world.path).lines).toEqual(["one"]);
  expect(statSync(world.path).mode & 0o777).toBe(0o600);
  const link = join(world.directory.path, "link");
  symlinkSync(world.path, link);
  const other = new History(link);
  other.add("two");
  expect(other.lines).toEqual(["two"]);
  expect(readFileSync(world.path, "utf8")).toBe("one\n");
});

test("History is bounded: by lines, by a line's length, and by the file's size", () => {
  using world = setup();
  const history = new History(world.path);
  for (let index = 0; index < 1_100; index++) history.add(`line ${index}`);
  history.add("x".repeat(100_000));
  expect(history.lines).toHaveLength(1_000);
  expect(history.lines.at(-1)).toHaveLength(100_000);
  expect(new History(world.path).lines.at(-1)).toBe("line 1099");
  writeFileSync(world.path, `${"y".repeat(4_000)}\n`.repeat(400));
  new History(world.path);
  expect(statSync(world.path).size).toBeLessThan(1024 * 1024);
  expect(new History(world.path).lines.length).toBeGreaterThan(100);
});

test("Histories beside each other lose nothing of each other", () => {
  using world = setup();
  const [one, other] = [new History(world.path), new History(world.path)];
  one.add("a");
  other.add("b");
  one.add("c");
  expect(new History(world.path).lines).toEqual(["a", "b", "c"]);
});

test("History without a file that can be written remembers as long as it lives", () => {
  const history = new History("/proc/nowhere/history");
  history.add("ls");
  expect(history.lines).toEqual(["ls"]);
});
