import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { RawClient } from "../support/raw.ts";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(240_000);

const MiB = 1024 * 1024;
/** What front and keeper together may take beyond what they take when idle. */
const BOUND = 64 * MiB;
/** Milliseconds within which 99 of 100 echoes are back: ten times what is aimed at. */
const PROMPT = 2_500;

async function setup(...prefix: string[]) {
  const world = openWorld({ inside: prefix });
  const { pid, keepers } = await world.start();
  return { ...world, front: pid, keeper: keepers[0]?.pid ?? 0 };
}

const countFds = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

/** Writes numbers into a job that runs `cat`, one every 100 ms, and measures (ms) how long each takes to come back. */
async function measureEchoes(world: World, count: number): Promise<readonly number[]> {
  const cat = Bun.spawn(["farhand", "exec", "--", "cat"], {
    env: world.env,
    cwd: world.home,
    stdin: "pipe",
    stdout: "pipe",
  });
  const lines = (async function* () {
    let text = "";
    for await (const chunk of cat.stdout) {
      text += new TextDecoder().decode(chunk);
      const whole = text.split("\n");
      text = whole.pop() ?? "";
      yield* whole;
    }
  })();
  const times: number[] = [];
  for (let number = 0; number < count; number++) {
    const began = performance.now();
    cat.stdin.write(`${number}\n`);
    await cat.stdin.flush();
    expect((await lines.next()).value).toBe(String(number));
    times.push(performance.now() - began);
    await Bun.sleep(Math.max(0, 100 - (performance.now() - began)));
  }
  cat.stdin.end();
  expect(await cat.exited).toBe(0);
  return times.toSorted((one, other) => one - other);
}

describe("Output", () => {
  test("of 100,000 lines, each written by itself, is complete and in order, and takes no memory", async () => {
    await using world = await setup();
    using gauge = openGauge([world.front, world.keeper]);
    const line = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i; done";
    const sums = await world.shell(`farhand exec --shell '${line}' | md5sum; seq 1 100000 | md5sum`);
    const [received, expected] = sums.stdout.split("\n");
    expect(received).toBe(expected ?? "");
    expect(gauge.peaks().reduce((sum, peak) => sum + peak, 0)).toBeLessThan(BOUND);
  });

  test.each(["", "--json"])("of one line of 200 MB without an end is complete %s", async (json) => {
    await using world = await setup();
    using gauge = openGauge([world.front, world.keeper]);
    const job = "head -c 200000000 /dev/zero | tr '\\\\0' x";
    // In JSON there is an x in the names of every packet's fields, too.
    const count = `sed 's/"text"//g; s/"exit[a-z]*"//g' | tr -cd x | wc -c`;
    const { code, stdout } = await world.shell(`farhand exec ${json} --shell "${job}" | ${count}`);
    expect([code, stdout.trim()]).toEqual([0, "200000000"]);
    expect(gauge.peaks().reduce((sum, peak) => sum + peak, 0)).toBeLessThan(BOUND);
  });
});

test("100 jobs that flood do not keep the echo of one that runs already", async () => {
  await using world = await setup();
  await Promise.all(Array.from({ length: 100 }, () => world.detach("--keep-output", "1MiB", "--", "yes")));
  const times = await measureEchoes(world, 100);
  const p99 = times[98] ?? Number.NaN;
  console.log(`99 of 100 echoes beside 100 floods were back within ${Math.round(p99)} ms`);
  expect(p99).toBeLessThan(PROMPT);
  expect(world.processes(/^yes /).length).toBe(100);
});

describe("Without descriptors", () => {
  /** As few as it takes: with 128, some connections and some jobs are too many. */
  const few = ["prlimit", "--nofile=128:128"];

  test("the server goes on for those whom it serves, and takes others when there is room again", async () => {
    await using world = await setup(...few);
    const { url, token } = world.local();
    using beside = await RawClient.open({ url, token });
    const before = countFds(world.front);
    const crowd = await Promise.all(Array.from({ length: 300 }, () => RawClient.connect(url)));
    await eventually(() => countFds(world.front) > 120); // all that it may have
    for (let call = 1; call <= 50; call++) {
      beside.call(call, "ping");
      await beside.control("result");
    }
    for (const client of crowd) client[Symbol.dispose]();
    await eventually(() => countFds(world.front) <= before, 30_000);
    expect(await world.farhand(["exec", "--", "echo", "here"])).toMatchObject({ code: 0, stdout: "here\n" });
  });

  test("the keeper refuses jobs that it cannot start, and starts them when others have ended", async () => {
    await using world = await setup(...few);
    await world.farhand(["exec", "--", "true"]);
    const before = countFds(world.keeper);
    /** What became of a start: refused at once, or a job that runs or could not begin. */
    const start = async () => {
      const { code, stdout, stderr } = await world.farhand(["exec", "-d", "--", "sleep", "1000"]);
      if (code !== 0) return `${code} ${stderr}`;
      const { state, outcome } = await world.job(stdout.trim());
      return outcome?.type === "not_started" ? `${outcome.type} ${outcome.reason.message}` : state;
    };
    const started = await Promise.all(Array.from({ length: 60 }, start));
    const refused = started.filter((what) => what !== "running");
    expect(refused.length).toBeGreaterThan(0);
    for (const what of refused)
      expect(what).toMatch(/^(?:125 farhand:|not_started) [^\n]* no descriptors left \(EMFILE\)/);
    expect(world.processes(/^sleep 1000/).length).toBe(started.length - refused.length);
    for (const pid of world.processes(/^sleep 1000/)) process.kill(pid, "SIGKILL");
    await eventually(() => countFds(world.keeper) <= before, 30_000);
    expect(await world.farhand(["exec", "--", "echo", "here"])).toMatchObject({ code: 0, stdout: "here\n" });
  });
});
