import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLogFile } from "../../src/server/log-file.ts";
import { openDirectory } from "../support/directory.ts";

const MiB = 1024 * 1024;

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "server.log");
  return {
    path,
    read: (age?: number) => readFileSync(age === undefined ? path : `${path}.${age}`, "utf8"),
    exists: (age: number) => existsSync(`${path}.${age}`),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("openLogFile()", () => {
  test("appends lines, private to this user", () => {
    using world = setup();
    const write = openLogFile(world.path);
    write("one");
    write("zwei ä");
    expect(world.read()).toBe("one\nzwei ä\n");
    expect(statSync(world.path).mode & 0o777).toBe(0o600);
  });

  test("goes on with the file that is there", () => {
    using world = setup();
    writeFileSync(world.path, "before\n");
    openLogFile(world.path)("after");
    expect(world.read()).toBe("before\nafter\n");
  });

  test("rotates a file beyond 5 MiB, also one that it finds, and loses no line", () => {
    using world = setup();
    writeFileSync(world.path, `${"x".repeat(5 * MiB)}\n`);
    const write = openLogFile(world.path);
    write("first of the new");
    expect(world.read()).toBe("first of the new\n");
    expect(world.read(1)).toHaveLength(5 * MiB + 1);
    expect(world.exists(2)).toBe(false);
  });

  test("keeps four older files, the newest first, and no more", () => {
    using world = setup();
    const write = openLogFile(world.path);
    const filler = "x".repeat(5 * MiB);
    for (let file = 0; file < 8; file++) write(`${file} ${filler}`);
    write("last");
    expect(world.read()).toBe("last\n");
    expect([1, 2, 3, 4].map((age) => world.read(age)[0])).toEqual(["7", "6", "5", "4"]);
    expect(world.exists(5)).toBe(false);
  });

  test("counts bytes, not characters", () => {
    using world = setup();
    const write = openLogFile(world.path);
    write("€".repeat(2 * MiB));
    write("next");
    expect(world.read()).toBe("next\n");
  });

  test("never throws, whatever is wrong with the disk", () => {
    using world = setup();
    mkdirSync(world.path);
    const write = openLogFile(world.path);
    expect(() => write("lost")).not.toThrow();
    expect(() => openLogFile(join(world.path, "missing", "server.log"))("lost")).not.toThrow();
  });
});
