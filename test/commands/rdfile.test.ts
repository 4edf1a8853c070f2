import { describe, expect, test } from "bun:test";
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import * as v from "valibot";
import { rdfile } from "../../src/commands/rdfile.ts";
import { openDirectory } from "../support/directory.ts";
import { collect, toFileContext } from "../support/reading.ts";
import { testIf } from "../support/test-if.ts";

function setup() {
  const directory = openDirectory();
  const run = (input: v.InferInput<typeof rdfile.input>, signal?: AbortSignal) =>
    rdfile.run(v.parse(rdfile.input, input), toFileContext(directory.path, signal));
  const read = async (input: v.InferInput<typeof rdfile.input>) => {
    const { said, result } = await collect(run(input));
    return { bytes: Buffer.concat(said as readonly Uint8Array[]), result };
  };
  return {
    at: (name: string) => join(directory.path, name),
    run,
    read,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

const linux = testIf(process.platform === "linux", "/proc is Linux's");

test("rdfile gives exactly the bytes of a file, of any piece, and of its last lines", async () => {
  using world = setup();
  const content = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => bytes.map((byte) => (byte % 5 === 0 ? 0x0a : byte)));
  const some = fc.option(fc.nat(320), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(content, fc.nat(320), some, some, async (content, offset, limit, tail) => {
      writeFileSync(world.at("x"), content);
      const { bytes, result } = await world.read({
        path: "x",
        offset,
        ...(limit !== undefined && { limit }),
        ...(tail !== undefined && { tail }),
      });
      const piece = Buffer.from(content).subarray(offset, limit === undefined ? undefined : offset + limit);
      expect(bytes.toString("hex")).toBe(toTail(piece, tail).toString("hex"));
      expect(result).toMatchObject({ size: content.length, bytes: bytes.length, changed: false });
    }),
  );
});

/** The last lines, by a plainer way than the command's. */
function toTail(bytes: Buffer, lines: number | undefined): Buffer {
  if (lines === undefined) return bytes;
  const parts = bytes.toString("latin1").match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return Buffer.from(parts.slice(Math.max(0, parts.length - lines)).join(""), "latin1");
}

test("rdfile finds the last lines of a file of many blocks", async () => {
  using world = setup();
  const lines = Array.from({ length: 200_000 }, (_, index) => `line ${index}\n`).join("");
  writeFileSync(world.at("x"), lines);
  for (const tail of [1, 7, 60_000, 199_999, 200_000, 300_000]) {
    const { bytes } = await world.read({ path: "x", tail });
    expect(bytes.equals(toTail(Buffer.from(lines), tail)), `the last ${tail}`).toBe(true);
  }
  expect((await world.read({ path: "x", tail: 0 })).bytes).toHaveLength(0);
});

describe("rdfile of a file that is written to meanwhile", () => {
  test("fails when it shrinks: what came is not all", async () => {
    using world = setup();
    writeFileSync(world.at("x"), Buffer.alloc(1024 ** 2));
    const run = world.run({ path: "x" });
    await run.next();
    truncateSync(world.at("x"), 10);
    await expect(collect(run)).rejects.toMatchObject({
      code: "incomplete_output",
      message: 'Cannot read all of "x": it shrank from 1048576 to 10 bytes meanwhile',
    });
  });

  test("ends where it ended at first when it grows, and says that it was changed", async () => {
    using world = setup();
    writeFileSync(world.at("x"), Buffer.alloc(1024 ** 2));
    const run = world.run({ path: "x" });
    await run.next();
    appendFileSync(world.at("x"), "more");
    const { result } = await collect(run);
    expect(result).toEqual({ size: 1024 ** 2, offset: 0, bytes: 1024 ** 2, changed: true });
    expect(rdfile.cli.conclude?.(result)).toBe("The file was changed while it was read");
  });
});

linux("rdfile reads files that do not say how long they are, or say it wrongly", async () => {
  using world = setup();
  const path = "/proc/version";
  const whole = readFileSync(path);
  expect((await world.read({ path })).bytes).toEqual(whole);
  expect((await world.read({ path, offset: 3, limit: 5 })).bytes).toEqual(whole.subarray(3, 8));
  expect((await world.read({ path, tail: 1 })).bytes).toEqual(whole);
  // A file of /sys says 4096.
  expect(
    (await world.read({ path: "/sys/kernel/mm/transparent_hugepage/enabled" })).bytes.length,
  ).toBeLessThan(200);
});

test("rdfile of nothing gives nothing", async () => {
  using world = setup();
  writeFileSync(world.at("x"), "");
  expect(await world.read({ path: "x" })).toMatchObject({
    bytes: Buffer.alloc(0),
    result: { size: 0, bytes: 0 },
  });
});

test("rdfile closes the file when its reader goes away, and stops when it is cancelled", async () => {
  using world = setup();
  writeFileSync(world.at("x"), Buffer.alloc(4 * 1024 ** 2));
  const stop = new AbortController();
  const run = world.run({ path: "x" }, stop.signal);
  await run.next();
  stop.abort(new Error("enough"));
  await expect(run.next()).rejects.toThrow("enough");
  const other = world.run({ path: "x" });
  await other.next();
  expect((await other.return({ size: 0, offset: 0, bytes: 0, changed: false })).done).toBe(true);
  if (process.platform === "linux") expect(openFiles().filter((path) => path === world.at("x"))).toEqual([]);
});

function openFiles(): string[] {
  const { stdout } = Bun.spawnSync(["ls", "-l", `/proc/${process.pid}/fd`]);
  return stdout
    .toString()
    .split("\n")
    .map((line) => line.split(" -> ")[1] ?? "");
}
