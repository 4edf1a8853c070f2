import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { JobDetails, JobSummary } from "../../src/protocol/job.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const json = async (...args: string[]) => JSON.parse((await world.farhand([...args, "--json"])).stdout);
  /** Numbers of the jobs that match. */
  const list = async (...args: string[]) =>
    ((await json("jobs", ...args)) as { jobs: JobSummary[] }).jobs.map(({ number }) => number);
  const restart = async () => {
    await world.farhandd(["stop"]);
    await world.start();
  };
  return { ...world, json, list, restart };
}

/** Four jobs: one that runs, one that exited with 3, one that a signal ended, one that could not start. */
async function setupFour() {
  const world = await setup();
  await world.detach("--label", "nightly=yes", "--label", "team=db", "--", "sleep", "600");
  await world.farhand(["exec", "--label", "nightly=no", "--", "sh", "-c", "exit 3"]);
  await world.farhand(["exec", "--", "sh", "-c", "kill -KILL $$"]);
  await world.farhand(["exec", "--", "no-such-program"]);
  return world;
}

describe("farhand jobs", () => {
  test("lists those that match, and everything that is given must match", async () => {
    await using world = await setupFour();
    expect(await world.list()).toEqual([4, 3, 2, 1]);
    expect(await world.list("--state", "running")).toEqual([1]);
    expect(await world.list("--state", "failed")).toEqual([4, 3, 2]);
    expect(await world.list("--state", "signaled,not-started")).toEqual([4, 3]);
    expect(await world.list("--state", "succeeded")).toEqual([]);
    expect(await world.list("--label", "nightly")).toEqual([2, 1]);
    expect(await world.list("-l", "nightly=yes", "-l", "team")).toEqual([1]);
    expect(await world.list("-l", "nightly", "--state", "ended")).toEqual([2]);
    expect(await world.list("--command", "sleep")).toEqual([1]);
    expect(await world.list("--command", "exec", "--limit", "2")).toEqual([4, 3]);
    expect(await world.list("--match", "-c exit")).toEqual([2]);
    expect(await world.list("--match", "(a+)+$")).toEqual([]);
    expect(await world.list("--since", "1h")).toEqual([4, 3, 2, 1]);
    expect(await world.list("--before", "1h")).toEqual([]);
    const { startedAt } = await world.job("3");
    expect(await world.list("--since", startedAt)).toEqual([4, 3]);
    expect(await world.list("--before", startedAt)).toEqual([2, 1]);
  });

  test("shows the columns that were asked for", async () => {
    await using world = await setupFour();
    const { stdout } = await world.farhand(["jobs", "--columns", "job,labels,owner,exit,state"]);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/ {2,}/)),
    ).toEqual([
      ["JOB", "LABELS", "OWNER", "EXIT", "STATE"],
      ["4", "local", expect.stringMatching(/^not started: Cannot run "no-such-program": .*…$/)],
      ["3", "local", "SIGKILL", "ended by SIGKILL"],
      ["2", "nightly=no", "local", "3", "exited 3"],
      ["1", "nightly=yes team=db", "local", "running"],
    ]);
  });

  test("finds what matches among more jobs than one answer looks at", async () => {
    await using world = await setup();
    const needle = await world.detach("--label", "needle=1", "--", "true");
    const line = "seq 300 | xargs -P 8 -n 1 farhand exec -d -- true >/dev/null";
    expect(await world.shell(line)).toMatchObject({ code: 0, stderr: "" });
    expect(await world.list("--label", "needle")).toEqual([(await world.job(needle)).number]);
    expect(await world.list()).toHaveLength(301);
    expect(await world.list("--limit", "250")).toHaveLength(250);
  });

  test("writes nothing to a terminal that the terminal would obey", async () => {
    await using world = await setup();
    const hostile = "\x1b]0;owned\x07\x9b31m";
    const job = await world.detach(
      "--label",
      `name=${hostile}`,
      "--info",
      JSON.stringify(hostile),
      "--",
      "true",
      hostile,
    );
    await world.farhand(["wait", job]);
    for (const args of [
      ["jobs", "--columns", "job,command,labels,info"],
      ["jobs", "--json"],
      ["job", "show", job],
      ["job", "show", job, "--json"],
      ["job", "label", job, `other=${hostile}`],
      ["follow", hostile],
    ]) {
      const { stdout, stderr } = await world.farhand(args);
      expect(stdout + stderr).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
      expect(stdout + stderr).toContain("owned");
    }
  });

  test("--state after the verb is a job's; the server's directory goes before it, or in the environment", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    const nowhere = { env: { FARHAND_STATE: "/nowhere" } };
    const { stdout } = await world.farhand(
      ["--state", world.state, "jobs", "--state", "running", "--json"],
      nowhere,
    );
    expect(JSON.parse(stdout).jobs).toHaveLength(1);
    expect((await world.farhand(["jobs", "--state", world.state])).stderr).toContain("goes before the verb");
    expect((await world.farhand(["ping", "-c1", "--state", world.state], nowhere)).code).toBe(0);
  });
});

describe("references", () => {
  test("are numbers, ids, unique prefixes and @last, in every verb", async () => {
    await using world = await setup();
    const id = await world.detach("--", "true");
    await world.farhand(["wait", id]);
    for (const ref of ["1", id, id.slice(0, 13), id.toUpperCase(), "@last"]) {
      for (const verb of [["follow"], ["wait"], ["result"], ["job", "show"], ["jobs"]])
        expect(await world.farhand([...verb, ref])).toMatchObject({ code: 0, stderr: "" });
      expect(await world.json("job", "label", ref, "a=b")).toMatchObject({ id, labels: { a: "b" } });
    }
    expect(await world.farhand(["job", "show", "9"])).toMatchObject({ code: 125, stdout: "" });
    expect(await world.farhand(["wait", "1", "9"])).toMatchObject({ code: 125, stdout: "" });
    expect((await world.json("job", "remove", "@last", "1")).removed).toEqual([{ id, number: 1 }]);
  });

  test("end the job that they mean, and none when they could mean several", async () => {
    await using world = await setup();
    const [first = "", second = "", third = "", last = ""] = [
      await world.detach("--", "sleep", "600"),
      await world.detach("--", "sleep", "600"),
      await world.detach("--", "sleep", "600"),
      await world.detach("--", "sleep", "600"),
    ];
    // Ids of one hour begin alike.
    for (const verb of [["kill"], ["job", "show"], ["follow"], ["job", "remove"]])
      expect(await world.farhand([...verb, first.slice(0, 5)])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining("Cannot tell which job"),
      });
    expect(await world.list("--state", "running")).toEqual([4, 3, 2, 1]);
    expect((await world.farhand(["kill", first, "2", third.slice(0, 35), "@last"])).code).toBe(0);
    for (const id of [first, second, third, last])
      expect((await world.job(id)).outcome).toMatchObject({ type: "cancelled" });
  });
});

describe("farhand job show", () => {
  test("tells all that is known of a job", async () => {
    await using world = await setup();
    const terms = ["--label", "a=b", "--info", '{"ticket":7}', "--key", "k1", "--keep-output", "2MiB"];
    const env = ["--env", "SECRET=hunter2"];
    await world.farhand(["exec", ...terms, ...env, "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    const shown = (await world.json("job", "show", "1")) as JobDetails;
    expect(shown).toMatchObject({
      number: 1,
      state: "closed",
      argv: ["sh", "-c", "echo out; echo err >&2; exit 3"],
      cwd: world.home,
      owner: "local",
      labels: { a: "b" },
      info: { ticket: 7 },
      key: "k1",
      keepBytes: 2 * 1024 ** 2,
      merge: false,
      holders: 0,
      outcome: { type: "exited", code: 3 },
      totals: { stdoutBytes: 4, stderrBytes: 4 },
      usage: { userMs: expect.any(Number) },
      ledger: { bytes: expect.any(Number), segments: 1 },
    });
    // Two of output, the exit and the close.
    expect(shown.next).toBe(4);
    expect(shown.envNames).toContain("SECRET");
    expect(JSON.stringify(shown)).not.toContain("hunter2");
    const { stdout } = await world.farhand(["job", "show", "1"]);
    for (const part of ["exited 3", "a=b", '{"ticket":7}', "k1", "4 bytes of stdout", "2 MiB", "SECRET"])
      expect(stdout).toContain(part);
  });

  test("counts the clients that a job waits for", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--", "sleep", "600"]);
    await eventually(
      async () => (await world.farhand(["job", "show", "1"])).stdout.includes("1 client"),
      30_000,
    );
    client.kill("SIGKILL");
    await client.ran;
    await eventually(async () => (await world.json("job", "show", "1")).holders === 0, 30_000);
  });
});

describe("farhand job label", () => {
  test("sets and takes away, of jobs that run and that have ended, and is kept across kill -9 and a new index", async () => {
    await using world = await setup();
    const running = await world.detach("--label", "old=1", "--label", "gone=1", "--", "sleep", "600");
    const ended = await world.detach("--", "true");
    await world.farhand(["wait", ended]);
    expect(await world.farhand(["job", "label", running, "new=2", "gone-"])).toMatchObject({
      code: 0,
      stdout: "Job 1: old=1 new=2\n",
    });
    await world.farhand(["job", "label", ended, "late=yes"]);
    const expectLabels = async () => {
      expect((await world.job(running)).labels).toEqual({ old: "1", new: "2" });
      expect((await world.job(ended)).labels).toEqual({ late: "yes" });
      expect(await world.list("--label", "gone")).toEqual([]);
      expect(await world.list("--label", "late=yes")).toEqual([2]);
    };
    await expectLabels();
    process.kill((await world.status()).pid, "SIGKILL");
    await world.start();
    await expectLabels();
    await world.farhandd(["stop"]);
    for (const name of readdirSync(world.state).filter((name) => name.startsWith("state.db")))
      rmSync(join(world.state, name));
    await world.start();
    await expectLabels();
    await world.farhand(["kill", running]);
    await expectLabels();
    await world.restart();
    await expectLabels();
  });

  test("refuses labels beyond the limit, and leaves those that there are", async () => {
    await using world = await setup();
    const job = await world.detach("--", "true");
    const many = Array.from({ length: 40 }, (_, n) => `l${n}=x`);
    expect((await world.farhand(["job", "label", job, ...many])).code).toBe(0);
    const more = await world.farhand(["job", "label", job, ...many.map((label) => `m${label}`)]);
    expect([more.code, more.stderr]).toEqual([
      125,
      "farhand: Cannot label job 1: it has more than 64 labels\n",
    ]);
    expect(Object.keys((await world.job(job)).labels ?? {})).toHaveLength(40);
  });
});

describe("farhand job remove", () => {
  test("removes ended jobs, all or none, and their ids are remembered", async () => {
    await using world = await setup();
    const [first, second] = [await world.detach("--", "true"), await world.detach("--", "true")];
    const running = await world.detach("--", "sleep", "600");
    await world.farhand(["wait", first, second]);
    const refused = await world.farhand(["job", "remove", first, running]);
    expect(refused).toMatchObject({
      code: 125,
      stderr: "farhand: Cannot remove job 3: it is running; farhand kill 3 ends it\n",
    });
    expect(await world.list()).toEqual([3, 2, 1]);
    expect(await world.farhand(["job", "remove", first, "2"])).toMatchObject({
      code: 0,
      stdout: "Job 1: removed\nJob 2: removed\n",
    });
    expect(await world.list()).toEqual([3]);
    expect(readdirSync(join(world.state, "ledgers"))).toEqual([running]);
    expect((await world.farhand(["follow", first])).stderr).toContain("Cannot find job");
    await world.restart();
    expect(await world.list()).toEqual([3]);
    // Numbers are never given twice.
    await world.detach("--", "true");
    expect(await world.list()).toEqual([4, 3]);
  });

  test("takes a job that has only just ended, however its end was learned", async () => {
    await using world = await setup();
    const line = "for n in $(seq 10); do farhand exec -- true && farhand job remove @last || exit 1; done";
    expect(await world.shell(line)).toMatchObject({ code: 0, stderr: "" });
    const running = await world.detach("--", "sleep", "600");
    expect(await world.shell(`farhand kill ${running} && farhand job remove ${running}`)).toMatchObject({
      code: 0,
    });
    expect(await world.list()).toEqual([]);
  });

  test("refuses a job whose output somebody still has open", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--shell", "sleep 600 & exit 0"]);
    expect((await world.farhand(["job", "remove", "1"])).stderr).toContain("still has its output open");
    expect(await world.list()).toEqual([1]);
  });
});

describe("farhand job prune", () => {
  test("removes what matches of the ended jobs, and tells which; --dry-run only tells", async () => {
    await using world = await setupFour();
    const dry = await world.json("job", "prune", "--dry-run");
    expect(dry.matching.map(({ number }: JobSummary) => number)).toEqual([4, 3, 2]);
    expect((await world.json("job", "prune", "--older-than", "1h")).removed).toEqual([]);
    expect(await world.list()).toEqual([4, 3, 2, 1]);
    const pruned = await world.farhand(["job", "prune", "--label", "nightly"]);
    expect([pruned.code, pruned.stdout.split("\n").slice(1)]).toEqual([
      0,
      [expect.stringMatching(/^2 .* exited 3 /), "1 job removed", ""],
    ]);
    expect(await world.list()).toEqual([4, 3, 1]);
    expect((await world.farhand(["job", "prune"])).code).toBe(125);
    expect(await world.list()).toEqual([4, 3, 1]);
    await world.farhand(["job", "prune", "--older-than", "0s", "--state", "signaled"]);
    expect(await world.list()).toEqual([4, 1]);
    await world.farhand(["job", "prune", "--yes"]);
    expect(await world.list()).toEqual([1]);
    expect(existsSync(join(world.state, "ledgers", (await world.job("1")).id))).toBe(true);
  });

  test("takes what has only just ended, and leaves what still has its output open", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--shell", "sleep 600 & exit 0"]);
    for (let n = 0; n < 5; n++) await world.detach("--label", "x=", "--", "sleep", "600");
    const line = "farhand kill --all --label x >/dev/null && farhand job prune --label x --json";
    const { stdout } = await world.shell(line);
    expect(JSON.parse(stdout).removed).toHaveLength(5);
    expect((await world.json("job", "prune", "--yes")).removed).toEqual([]);
    expect(await world.list()).toEqual([1]);
  });
});
