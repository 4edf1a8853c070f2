import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createLog } from "../../../src/lib/log.ts";
import { SEGMENT_HEADER_BYTES, segmentPath } from "../../../src/ledger/segment.ts";
import { RECORD_HEADER_BYTES } from "../../../src/protocol/packet.ts";
import { JobIndex } from "../../../src/server/jobs/job-index.ts";
import { describeRepair, repair } from "../../../src/server/jobs/repair.ts";
import { leaveLocalServer, lockState, prepareState } from "../../../src/server/state.ts";
import { newJobId } from "../../support/arbitrary.ts";
import { fillDisk, findMountFault, mountSmall, openDirectory } from "../../support/directory.ts";
import { openLedger, writeLedger } from "../../support/ledgers.ts";
import { testIf } from "../../support/test-if.ts";

const now = new Date("2026-11-28T16:31:38.123Z");
const silent = createLog({ level: "error", format: "text", write: () => {}, now: () => now });

/** A state directory of three jobs: two that exited with 1 and 2, and one that runs. */
function setup(directory = openDirectory()) {
  const state = directory.path;
  prepareState(state);
  const [one, two] = [1, 2].map((number) =>
    writeLedger(state, ["a", "b", "c"], number, { number, key: "k" }),
  );
  const running = openLedger(state, { number: 7 });
  running.writer.append("stdout", new TextEncoder().encode("so far"));
  const path = join(state, "state.db");
  return {
    state,
    path,
    one: one as typeof running,
    two: two as typeof running,
    running,
    repair: (rebuild = false) => repair({ state, rebuild, now }),
    open: () => new JobIndex(path, silent, false),
    names: () =>
      readdirSync(state)
        .filter((name) => name.startsWith("state.db"))
        .sort(),
    [Symbol.dispose]: () => {
      running.writer[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

type World = ReturnType<typeof setup>;

/** What an index says of jobs, newest first. */
function listed(world: World) {
  using index = world.open();
  return index
    .list(Number.MAX_SAFE_INTEGER, 100)
    .map(({ start, exit, closed }) => [start.number, exit?.outcome, closed]);
}

const EXPECTED: ReturnType<typeof listed> = [
  [7, undefined, false],
  [2, { type: "exited", code: 2 }, true],
  [1, { type: "exited", code: 1 }, true],
];

describe("repair()", () => {
  test("makes an index that is missing from the ledgers, with every job, its number and how it ended", () => {
    using world = setup();
    expect(world.repair()).toEqual({
      index: { found: "missing" },
      rebuilt: true,
      setAside: [],
      jobs: 3,
      lastNumber: 7,
      damaged: [],
    });
    expect(listed(world)).toEqual(EXPECTED);
    using index = world.open();
    expect(index.lastNumber).toBe(7);
    expect(index.findByKey("local", "k", [])?.start.number).toBe(2);
  });

  test("leaves an index that is sound", () => {
    using world = setup();
    world.repair();
    const before = readFileSync(world.path);
    expect(world.repair()).toMatchObject({
      index: { found: "sound" },
      rebuilt: false,
      setAside: [],
      jobs: 3,
    });
    expect(readFileSync(world.path).equals(before)).toBe(true);
    expect(world.repair(true)).toMatchObject({
      index: { found: "sound" },
      rebuilt: true,
      setAside: ["state.db.20261128T163138Z"],
    });
    expect(listed(world)).toEqual(EXPECTED);
  });

  test.each([
    ["empty", () => new Uint8Array()],
    ["no database", () => new Uint8Array(10_000).fill(0x78)],
    ["cut", (bytes: Uint8Array) => bytes.subarray(0, 5_000)],
    ["overwritten", (bytes: Uint8Array) => Uint8Array.from(bytes).fill(0x5a, 4_096, 8_192)],
  ])("sets aside an index that is %s, with what belongs to it, and rebuilds it", (_, damage) => {
    using world = setup();
    world.repair();
    const damaged = damage(readFileSync(world.path));
    writeFileSync(world.path, damaged);
    writeFileSync(`${world.path}-wal`, "what was not written back");
    const report = world.repair();
    expect(report.index).toEqual({ found: "damaged", why: expect.stringContaining(world.path) });
    expect(report.setAside).toContain("state.db.20261128T163138Z");
    expect(listed(world)).toEqual(EXPECTED);
    expect(readFileSync(`${world.path}.20261128T163138Z`)).toEqual(Buffer.from(damaged));
    expect(world.names().every((name) => /^state\.db(\.20261128T163138Z)?(-wal|-shm)?$/.test(name))).toBe(
      true,
    );
  });

  test("rebuilds an index that says of a job what its ledger does not, but for labels, which may have changed", () => {
    using world = setup();
    world.repair();
    const change = (path: string, value: string) => {
      using database = new Database(world.path);
      database.run(`UPDATE jobs SET start = json_set(start, '${path}', json(?)) WHERE number = 2`, [value]);
    };
    change("$.labels", '{"team":"a"}');
    expect(world.repair().index).toEqual({ found: "sound" });
    change("$.argv", '["something","else"]');
    expect(world.repair().index).toEqual({
      found: "damaged",
      why: "it does not say of job 2 what its ledger says",
    });
    expect(world.repair().index).toEqual({ found: "sound" });
  });

  test("refuses an index of a newer version, unless told to rebuild it", () => {
    using world = setup();
    {
      using newer = new Database(world.path, { create: true });
      newer.run("CREATE TABLE treasure (x)");
      newer.run("PRAGMA user_version = 99");
    }
    const before = readFileSync(world.path);
    expect(() => world.repair()).toThrow("use that version, or run farhandd repair --rebuild");
    expect(readFileSync(world.path).equals(before)).toBe(true);
    expect(world.repair(true)).toMatchObject({ index: { found: "newer" }, rebuilt: true });
    expect(readFileSync(`${world.path}.20261128T163138Z`).equals(before)).toBe(true);
    expect(listed(world)).toEqual(EXPECTED);
  });

  test("reports ledgers that are damaged and what is missing in them, and leaves every file of them as it is", () => {
    using world = setup();
    const { state, one, two, running } = world;
    // A flipped bit in the payload of packet 1, a torn tail of one that is complete, and of one that is not.
    const first = readFileSync(segmentPath(one.directory, 0));
    const at = SEGMENT_HEADER_BYTES + 2 * RECORD_HEADER_BYTES + 1;
    first[at] = (first[at] ?? 0) ^ 1;
    writeFileSync(segmentPath(one.directory, 0), first);
    truncateSync(segmentPath(two.directory, 0), readFileSync(segmentPath(two.directory, 0)).length - 3);
    const tail = readFileSync(segmentPath(running.directory, 0));
    truncateSync(segmentPath(running.directory, 0), tail.length - 3);
    const torn = writeLedger(state, ["x"], 0, { number: 8 });
    writeFileSync(join(torn.directory, "start.ndjson"), '{"format":1,"jo');
    const lacking = writeLedger(state, ["y"], 0, { number: 9 });
    rmSync(segmentPath(lacking.directory, 0));
    const empty = newJobId();
    mkdirSync(join(state, "ledgers", empty));
    writeFileSync(join(state, "ledgers", newJobId()), "a file");
    const newer = writeLedger(state, ["z"], 0, { number: 10 });
    writeFileSync(join(newer.directory, "start.ndjson"), '{"format":2,"job":["strange"]}\n');
    writeFileSync(join(state, "ledgers", "notes"), "of somebody");
    const files = () =>
      readdirSync(join(state, "ledgers"), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name)).toString("base64")]);
    const before = files();

    const report = world.repair();
    expect(files()).toEqual(before);
    const faults = new Map(report.damaged.map(({ job, faults }) => [job, faults.join("; ")]));
    expect(faults.get(one.job)).toBe("damaged at packet 1");
    // Its exit can be read, and its close cannot: it is settled by the next server.
    expect(faults.has(two.job)).toBe(false);
    expect(faults.has(running.job)).toBe(false);
    expect(faults.get(torn.job)).toBe("its start record cannot be read, so that it is in no list");
    expect(faults.get(lacking.job)).toBe("damaged at packet 0");
    expect(faults.get(empty)).toBe("it has no start record: no job was started in it; damaged at packet 0");
    expect(faults.get(newer.job)).toBe("a newer farhandd wrote it, so that it is in no list of this one");
    expect(report.damaged).toHaveLength(6);
    expect(listed(world)).toEqual<ReturnType<typeof listed>>([
      [9, undefined, false],
      [7, undefined, false],
      [2, { type: "exited", code: 2 }, false],
      [1, { type: "exited", code: 1 }, true],
    ]);
    const said = describeRepair(report);
    expect(said).toContain("Ledgers: 6 damaged, left as they are");
    expect(said).toContain(`  job 1, ${one.job}: damaged at packet 1\n`);
  });

  test("refuses while a server has the state directory, names it, and touches nothing", () => {
    using world = setup();
    writeFileSync(world.path, "damaged");
    using _lock = lockState(world.state);
    using _local = leaveLocalServer(world.state, {
      url: "http://127.0.0.1:1",
      token: "t",
      pid: 4711,
      version: "1",
    });
    expect(() => world.repair()).toThrow(
      expect.objectContaining({
        code: "state_in_use",
        message: expect.stringMatching(
          /farhandd with pid 4711 at http:\/\/127\.0\.0\.1:1 holds it; stop it first$/,
        ),
      }),
    );
    expect(readFileSync(world.path, "utf8")).toBe("damaged");
  });

  test("refuses a directory that is none of farhandd's, and makes nothing in it", () => {
    using directory = openDirectory();
    const repairIt = () => repair({ state: directory.path, rebuild: true, now });
    expect(repairIt).toThrow(`Cannot repair "${directory.path}": it is no state directory of farhandd`);
    expect(readdirSync(directory.path)).toEqual([]);
  });

  const fault = findMountFault();
  testIf(fault === undefined, fault ?? "")("leaves everything in its place when there is no room", () => {
    using world = setup(mountSmall(1024 * 1024));
    chmodSync(world.state, 0o700);
    writeFileSync(world.path, "damaged");
    // Of an earlier try that was cut short.
    writeFileSync(`${world.path}.new`, "half");
    {
      using _filler = fillDisk(world.state);
      expect(() => world.repair()).toThrow(/full/);
      expect(readFileSync(world.path, "utf8")).toBe("damaged");
    }
    expect(world.repair()).toMatchObject({ rebuilt: true, jobs: 3 });
    expect(listed(world)).toEqual(EXPECTED);
  });
});
