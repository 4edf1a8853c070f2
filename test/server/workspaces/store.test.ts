import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import {
  type Contents,
  toFile,
  type WorkspaceId,
  WorkspaceStore,
} from "../../../src/server/workspaces/store.ts";
import { fillDisk, findMountFault, mountSmall, openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

const id: WorkspaceId = { owner: "local", name: "build" };
const contents: Contents = {
  cwd: { bytes: Buffer.from([0x2f, 0xff]).toString("base64") },
  previous: "/srv",
  set: JSON.parse('{"A":"1","__proto__":"x","constructor":"y","7":"z"}'),
  unset: ["DISPLAY"],
};

function openLog() {
  const warned: Record<string, unknown>[] = [];
  const log = {
    error() {},
    info() {},
    debug() {},
    warn: (_: string, fields = {}) => void warned.push(fields),
  };
  return { log, warned };
}

async function setup() {
  const directory = openDirectory();
  const store = new WorkspaceStore(directory.path);
  const path = store.toPath(id);
  return {
    path,
    store,
    directory: directory.path,
    /** What a server that is started now finds. */
    reopen() {
      const { log, warned } = openLog();
      const store = new WorkspaceStore(directory.path);
      return { store, kept: store.load(log), warned };
    },
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("WorkspaceStore", () => {
  test("keeps what it was given, byte for byte, in a file for its user alone", async () => {
    using world = await setup();
    await world.store.save(id, contents);
    const [kept] = world.reopen().kept;
    expect(kept?.id).toEqual(id);
    expect(JSON.stringify(kept?.contents.set)).toBe(JSON.stringify(contents.set));
    expect(kept?.contents).toMatchObject({ cwd: contents.cwd, previous: "/srv", unset: ["DISPLAY"] });
    expect(statSync(world.path).mode & 0o777).toBe(0o600);
    expect(readdirSync(world.directory)).toEqual([toFile(id)]);
  });

  test("takes no name for a path, and mixes up no two", async () => {
    using world = await setup();
    const ids = [
      { owner: "../../etc", name: "passwd" },
      { owner: "a", name: "b" },
      { owner: "a\0b", name: "c" },
      { owner: "a", name: "B" },
      { owner: "local", name: "con" },
    ];
    for (const each of ids) await world.store.save(each, { set: {}, unset: [] });
    expect(readdirSync(world.directory)).toHaveLength(ids.length);
    expect(new Set(world.reopen().kept.map(({ id }) => JSON.stringify(id))).size).toBe(ids.length);
  });

  test("removes one for good, and one that is not there without a word", async () => {
    using world = await setup();
    await world.store.save(id, contents);
    await world.store.remove(id);
    await world.store.remove(id);
    expect(world.reopen().kept).toEqual([]);
  });

  test("leaves what was before where writing was cut short", async () => {
    using world = await setup();
    await world.store.save(id, contents);
    writeFileSync(`${world.path}.new`, '{"format":1,"sha');
    writeFileSync(join(world.directory, "README"), "somebody's own");
    expect(world.reopen().kept).toHaveLength(1);
    expect(readdirSync(world.directory).sort()).toEqual([toFile(id), "README"].sort());
  });

  test("notices every byte that is not as it was", async () => {
    using world = await setup();
    await world.store.save(id, contents);
    const sound = readFileSync(world.path);
    fc.assert(
      fc.property(fc.nat(sound.length - 2), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const damaged = Buffer.from(sound);
        damaged[at] = (damaged[at] ?? 0) ^ by;
        writeFileSync(world.path, damaged);
        const { kept, store } = world.reopen();
        expect([kept.length, store.isFaulty(id)]).toEqual([0, true]);
        expect(readFileSync(world.path)).toEqual(damaged);
      }),
    );
  });

  test.each<[string, (path: string) => void, RegExp]>([
    [
      "is empty",
      (path) => writeFileSync(path, ""),
      /is damaged; mend that, or give it up with farhand workspace remove build$/,
    ],
    ["is cut short", (path) => writeFileSync(path, readFileSync(path).subarray(0, 90)), /is damaged/],
    ["is somebody else's JSON", (path) => writeFileSync(path, '{"name":"x"}'), /is none that farhandd wrote/],
    [
      "is of a newer version",
      (path) => writeFileSync(path, JSON.stringify({ format: 2, sha256: "", workspace: {} })),
      /was written by a newer farhandd/,
    ],
    [
      "may be read by others",
      (path) => chmodSync(path, 0o644),
      /may be read or changed by others: run chmod 600 \//,
    ],
    ["is huge", (path) => writeFileSync(path, " ".repeat(5_000_000)), /is larger than any/],
  ])("refuses a file that %s, with what to do, until it is mended", async (_what, spoil, sentence) => {
    using world = await setup();
    await world.store.save(id, contents);
    const sound = readFileSync(world.path);
    spoil(world.path);
    const { kept, store, warned } = world.reopen();
    expect(kept).toEqual([]);
    expect(warned).toMatchObject([{ file: toFile(id) }]);
    const refusal = expect.objectContaining({
      code: "state_unusable",
      message: expect.stringMatching(sentence),
    });
    expect(() => store.readAgain(id)).toThrow(refusal);
    writeFileSync(world.path, sound);
    chmodSync(world.path, 0o600);
    expect(store.readAgain(id).contents.previous).toBe("/srv");
    expect(store.isFaulty(id)).toBe(false);
  });

  test("refuses another one's file, and a link to one", async () => {
    using world = await setup();
    const other = { owner: "local", name: "other" };
    await world.store.save(id, contents);
    writeFileSync(world.store.toPath(other), readFileSync(world.path), { mode: 0o600 });
    const copied = world.reopen().store;
    expect(() => copied.readAgain(other)).toThrow(/is a copy of that of workspace "build"/);
    await world.store.remove(other);
    symlinkSync(world.path, world.store.toPath(other));
    expect(() => world.reopen().store.readAgain(other)).toThrow(/is no file/);
  });

  testIf(findMountFault() === undefined, findMountFault() ?? "")(
    "says that the disk is full, and keeps what was before",
    async () => {
      using disk = mountSmall(64 * 1024);
      const store = new WorkspaceStore(disk.path);
      await store.save(id, contents);
      const before = readFileSync(store.toPath(id));
      using full = fillDisk(disk.path);
      await expect(store.save(id, { ...contents, set: { A: "x".repeat(8_192) } })).rejects.toMatchObject({
        code: "unavailable",
        message: 'Cannot keep workspace "build": the disk of the state directory is full; make room',
      });
      expect(readFileSync(store.toPath(id))).toEqual(before);
      expect(readdirSync(disk.path)).not.toContain(`${toFile(id)}.new`);
      full[Symbol.dispose]();
      await store.save(id, contents);
    },
  );
});
