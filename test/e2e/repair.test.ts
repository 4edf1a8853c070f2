import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A stopped server that knows two jobs which exited with 1 and 2. */
async function setup() {
  const world = openWorld();
  await world.start();
  for (const code of [1, 2]) await world.farhand(["exec", "--shell", `echo said ${code}; exit ${code}`]);
  await world.farhandd(["stop"]);
  const path = join(world.state, "state.db");
  const repair = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhandd(["repair", "--json", ...args]);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  };
  const expectJobs = async () => {
    await world.start();
    for (const code of [1, 2])
      expect(await world.farhand(["follow", String(code)])).toMatchObject({ code, stdout: `said ${code}\n` });
    expect((await world.job(await world.detach("true"))).number).toBe(3);
  };
  return { ...world, path, repair, expectJobs };
}

test.each([
  ["truncated", (path: string) => truncateSync(path, 5_000)],
  ["emptied", (path: string) => truncateSync(path, 0)],
  ["overwritten", (path: string) => writeFileSync(path, "x".repeat(20_000))],
  [
    "flipped",
    (path: string) => {
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0x5a, 100, 200));
    },
  ],
])(
  "An index that is %s stops a start, which keeps it and says what to do, and repair does it",
  async (_, damage) => {
    await using world = await setup();
    damage(world.path);
    const before = readFileSync(world.path);
    const refused = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^farhandd: Cannot open ".*state\.db": .*; run farhandd repair, which sets it aside/,
    );
    expect(readFileSync(world.path).equals(before)).toBe(true);

    const { index, setAside, jobs, damaged } = await world.repair();
    expect({ found: index.found, jobs, damaged }).toEqual({ found: "damaged", jobs: 2, damaged: [] });
    expect(readFileSync(join(world.state, setAside[0])).equals(before)).toBe(true);
    await world.expectJobs();
  },
);

test("An index whose write-ahead log is gone, or that is gone itself, is brought in line by the next start", async () => {
  await using world = await setup();
  await world.start();
  const { pid } = await world.status();
  process.kill(pid, "SIGKILL");
  rmSync(`${world.path}-wal`, { force: true });
  rmSync(`${world.path}-shm`, { force: true });
  await world.expectJobs();
  await world.farhandd(["stop"]);
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${world.path}${suffix}`, { force: true });
  await world.start();
  expect((await world.status()).jobs.total).toBe(3);
  expect(readFileSync(join(world.state, "logs", "server.log"), "utf8")).toContain("index missing");
});

test("An index of a newer version stops a start and a repair, unless that is told to rebuild", async () => {
  await using world = await setup();
  const bytes = readFileSync(world.path);
  bytes.writeUInt32BE(99, 60); // the schema's version in SQLite's header
  writeFileSync(world.path, bytes);
  for (const verb of ["start", "repair"]) {
    const { code, stderr } = await world.farhandd([verb]);
    expect([code, stderr]).toEqual([
      1,
      `farhandd: Cannot open "${world.path}": a newer farhandd wrote it (schema 99); ` +
        "use that version, or run farhandd repair --rebuild\n",
    ]);
  }
  expect(await world.repair("--rebuild")).toMatchObject({
    index: { found: "newer" },
    rebuilt: true,
    jobs: 2,
  });
  await world.expectJobs();
});

test("farhandd repair says what it did, refuses while a server runs, and leaves what is sound", async () => {
  await using world = await setup();
  expect(await world.farhandd(["repair"])).toMatchObject({
    code: 0,
    stdout: "Index: sound\nLeft as it is: 2 jobs\nLedgers: sound\n",
  });
  const [first = ""] = readdirSync(join(world.state, "ledgers")).sort();
  truncateSync(join(world.state, "ledgers", first, "start.ndjson"), 10);
  writeFileSync(world.path, "no database at all");
  const { stdout } = await world.farhandd(["repair"]);
  expect(stdout).toMatch(/^Index: damaged, set aside as state\.db\.\d{8}T\d{6}Z\n {2}Cannot open/);
  expect(stdout).toContain(
    "Rebuilt from the ledgers: 1 jobs, the last is number 2; which were removed before is forgotten\n",
  );
  expect(stdout).toContain(`  ${first}: its start record cannot be read, so that it is in no list\n`);

  const { pid } = await world.start();
  expect((await world.farhandd(["repair"])).stderr).toMatch(
    new RegExp(
      `^farhandd: Cannot use state directory ".*": farhandd with pid ${pid} at http://.* holds it; stop it first\n$`,
    ),
  );
  const nowhere = await world.farhandd(["repair", "--state", join(world.home, "nowhere")]);
  expect([nowhere.code, nowhere.stderr]).toEqual([
    1,
    expect.stringContaining("it is no state directory of farhandd"),
  ]);
  expect((await world.farhandd(["repair", "--help"])).stdout).toContain("--rebuild");
});

test("A job that runs through a repair is adopted, and found by its number", async () => {
  await using world = await setup();
  await world.start();
  const job = await world.detach(
    "--shell",
    "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 9",
  );
  await world.farhandd(["stop"]);
  rmSync(world.path);
  expect(await world.repair()).toMatchObject({ index: { found: "missing" }, jobs: 3, lastNumber: 3 });
  await world.start();
  expect(await world.job(job)).toMatchObject({ number: 3, state: "running" });
  writeFileSync(join(world.home, "go"), "");
  expect(await world.farhand(["follow", "3"])).toMatchObject({ code: 9, stdout: "one\ntwo\n" });
});
