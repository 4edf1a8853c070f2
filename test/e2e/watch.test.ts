import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type JobEvent, Pool } from "../../src/sdk.ts";
import { FARHAND } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  return world;
}

/** Runs the client on a terminal of its own, and keeps what it writes there. */
function openTerminal(world: World, ...args: string[]) {
  let written = "";
  const terminal = new Bun.Terminal({
    cols: 100,
    rows: 10,
    data: (_terminal, bytes) => void (written += Buffer.from(bytes).toString()),
  });
  const child = Bun.spawn([FARHAND, ...args], {
    cwd: world.home,
    env: { ...world.env, TERM: "xterm" },
    terminal,
  });
  return { child, terminal, written: () => written };
}

const parse = (text: string) =>
  text
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line): JobEvent => JSON.parse(line));
const describeEvent = (event: JobEvent) =>
  event.type === "removed" ? ["removed", event.number] : [event.type, event.job.number, event.job.state];

describe("farhand jobs --watch", () => {
  test("with --json writes a line for each change, and ends with Ctrl-C", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    const client = world.open(["farhand", "jobs", "--watch", "--json"]);
    const seen = () => parse(client.said()).map(describeEvent);
    await eventually(() => seen().length === 1, 30_000);
    await world.detach("--shell", "while [ ! -e go ]; do sleep 0.02; done");
    await eventually(() => seen().length === 2, 30_000);
    writeFileSync(join(world.home, "go"), "");
    await eventually(
      () => seen().some(([type, number, state]) => type === "job" && number === 2 && state === "closed"),
      30_000,
    );
    await world.farhand(["job", "label", "1", "a=b"]);
    await world.farhand(["kill", "1"]);
    await world.farhand(["job", "remove", "2"]);
    await eventually(() => seen().some(([type]) => type === "removed"), 30_000);
    expect(seen()[0]).toEqual(["job", 1, "running"]);
    expect(seen()).toContainEqual(["job", 2, "running"]);
    expect(seen()).toContainEqual(["job", 1, "closed"]);
    expect(seen().at(-1)).toEqual(["removed", 2]);
    const labelled = parse(client.said()).filter(
      (event) => event.type === "job" && event.job.labels?.["a"] === "b",
    );
    expect(labelled.length).toBeGreaterThanOrEqual(2);
    client.kill("SIGINT");
    expect((await client.ran).code).toBe(130);
  });

  test("without a terminal writes a heading and a line for each change of what matches, and of what matches no more", async () => {
    await using world = await setup();
    await world.detach("--label", "a=1", "--", "sleep", "600");
    await world.detach("--", "sleep", "600");
    const args = ["--state", "running", "--label", "a", "--columns", "job,state"];
    const client = world.open(["farhand", "jobs", "--watch", ...args]);
    await eventually(() => client.said().includes("running"), 30_000);
    await world.farhand(["kill", "1", "2"]);
    await eventually(() => client.said().includes("cancelled"), 30_000);
    client.kill("SIGTERM");
    const { code, stdout } = await client.ran;
    expect(code).toBe(143);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/ {2,}/)),
    ).toEqual([
      ["JOB", "STATE"],
      ["1", "running"],
      ["1", "cancelled by local"],
    ]);
  });

  test("goes on across a server that is killed and started again, and tells only what is different", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    const client = world.open(["farhand", "jobs", "--watch", "--json"]);
    const seen = () => parse(client.said()).map(describeEvent);
    await eventually(() => seen().length === 1, 30_000);
    process.kill((await world.status()).pid, "SIGKILL");
    await world.start();
    const job = await world.detach("--", "sleep", "600");
    await eventually(() => seen().length === 2, 30_000);
    await world.farhand(["kill", job]);
    await eventually(() => seen().some(([, number, state]) => number === 2 && state === "closed"), 30_000);
    expect(seen().filter(([, number]) => number === 1)).toEqual([["job", 1, "running"]]);
    client.kill("SIGINT");
    expect((await client.ran).code).toBe(130);
  });

  test("ends when nobody reads it any more", async () => {
    await using world = await setup();
    const job = await world.detach("--", "sleep", "600");
    const watching = world.shell("farhand jobs --watch --json | head -n 1");
    await eventually(() => world.processes(/jobs --watch/).length > 0, 30_000);
    // The second change finds nobody.
    await world.farhand(["job", "label", job, "a=1"]);
    await eventually(async () => {
      await world.farhand(["job", "label", job, `a=${Math.random()}`]);
      return world.processes(/farhand jobs --watch/).length === 0;
    }, 30_000);
    expect((await watching).stdout.trim().split("\n")).toHaveLength(1);
  });

  test("on a terminal paints in place, follows its size, and leaves it as it was on Ctrl-C", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    const { child, terminal, written } = openTerminal(
      world,
      "jobs",
      "--watch",
      "--columns",
      "job,state,time",
    );
    /** What stands on the screen: the last frame. */
    const frame = () => Bun.stripANSI(written().slice(written().lastIndexOf("\x1b[H")));
    await eventually(() => /^1 +running/m.test(frame()), 30_000);
    expect(written()).toStartWith("\x1b[?1049h\x1b[?25l\x1b[?7l");
    const frames = () => written().split("\x1b[H").length;
    // Times go on though nothing changes.
    const before = frames();
    await eventually(() => frames() > before + 1, 30_000);
    await world.farhand(["kill", "1"]);
    await eventually(() => /^1 +cancelled by local/m.test(frame()), 30_000);
    await world.shell("for n in $(seq 12); do farhand exec -d -- true; done");
    await eventually(() => frame().includes("and 5 older"), 30_000);
    terminal.resize(100, 30);
    await eventually(() => frame().includes("\n13 ") && /^1 /m.test(frame()), 30_000);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await eventually(() => written().endsWith("\x1b[?7h\x1b[?25h\x1b[?1049l"), 30_000);
    terminal.close();
  });
});

test("watch() of the SDK tells of what there is at once, and ends with the reason to stop", async () => {
  await using world = await setup();
  const { url, token } = world.local();
  await using pool = new Pool();
  const connection = await pool.add(url, { token }).connect({ timeout: 10_000 });
  await connection.start(["sleep", "600"], { labels: { a: "1" } });
  await connection.start(["sleep", "600"]);
  const stop = new AbortController();
  const batches: JobEvent[][] = [];
  const watching = (async () => {
    for await (const batch of connection.watch({ labels: ["a"] }, stop.signal)) batches.push([...batch]);
  })();
  await eventually(() => batches.length === 1, 30_000);
  await connection.jobLabel(1, { unset: ["a"], raiseError: true });
  await eventually(() => batches.length === 2, 30_000);
  expect(batches.map((batch) => batch.map(describeEvent))).toEqual([
    [["job", 1, "running"]],
    [["left", 1, "running"]],
  ]);
  stop.abort(new Error("enough"));
  await expect(watching).rejects.toThrow("enough");
  expect((await connection.jobShow(1)).result?.labels).toEqual({});
  expect(await connection.prune({}, { dryRun: true })).toEqual([]);
  expect((await connection.allJobs({ command: "sleep" })).map(({ number }) => number)).toEqual([2, 1]);
  await connection.kill(1);
  expect((await connection.jobRemove(1)).result?.removed).toMatchObject([{ number: 1 }]);
});
