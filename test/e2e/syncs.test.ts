import { expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { findEnding } from "../../src/ledger/ending.ts";
import { JobId } from "../../src/protocol/id.ts";
import { FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { findTraceFault } from "../support/trace.ts";
import { openWorld, type Ran, type World } from "../support/world.ts";

setDefaultTimeout(120_000);

const fault = findTraceFault();
const testTraced = testIf(fault === undefined, `a server under strace: ${fault}`);

const SYNCS = "fsync,fdatasync";

/** A server in the foreground, to whose system calls something is done, or to its keeper's. */
function serve(world: World, injection: string, calls = SYNCS) {
  const log = join(world.home, "strace.log");
  const injected = ["-e", `trace=${calls}`, "-e", `inject=${calls}:${injection}`];
  const { ran } = world.open([
    "strace",
    "-f",
    "-o",
    log,
    ...injected,
    FARHANDD,
    "serve",
    "--listen",
    "127.0.0.1:0",
  ]);
  const isOver = () =>
    existsSync(log) && /^\d+ +\+\+\+ (killed|exited)/m.test(readFileSync(log, "utf8")) && running() === 0;
  const running = () => world.processes(/^\S*farhandd serve/).length;
  return {
    ran,
    isOver,
    log: () => readFileSync(log, "utf8"),
    isUp: () => existsSync(join(world.state, "local.json")),
  };
}

/** Starts so many jobs one after another while the server lives, and answers those that were accepted. */
async function submit(world: World, jobs: number, isOver: () => boolean): Promise<string[]> {
  const accepted: string[] = [];
  for (let job = 0; job < jobs && !isOver(); job++) {
    const client = world.open(["farhand", "exec", "-d", "--shell", `echo said ${job}; exit ${job}`]);
    let ran: Ran | undefined;
    client.ran.then((result) => (ran = result));
    await eventually(() => ran !== undefined || isOver(), 50_000);
    if (ran?.code === 0) accepted.push(ran.stdout.trim());
    client.kill("SIGKILL"); // it would wait for the server to come back
  }
  return accepted;
}

/** A server that is started now knows all of them, and how they ended. */
async function expectAll(world: World, accepted: readonly string[]): Promise<void> {
  await world.start();
  const numbers = new Set<number>();
  for (const [index, job] of accepted.entries()) {
    expect(await world.farhand(["follow", job])).toMatchObject({ code: index, stdout: `said ${index}\n` });
    numbers.add((await world.job(job)).number);
  }
  expect(numbers.size).toBe(accepted.length);
}

testTraced(
  "A server that is killed at any of its syncs has lost no accepted job, and starts again",
  async () => {
    let killed = 0;
    for (let sync = 1; ; sync++) {
      await using world = openWorld();
      const server = serve(world, `signal=SIGKILL:when=${sync}`);
      await eventually(() => server.isUp() || server.isOver(), 30_000);
      const accepted = await submit(world, 4, server.isOver);
      if (!server.isOver()) await world.farhandd(["stop"]); // which syncs too
      await eventually(server.isOver, 30_000);
      await expectAll(world, accepted);
      if (!/killed by SIGKILL/.test(server.log())) break;
      killed++;
    }
    console.info(`A server was killed at each of its ${killed} syncs`);
    expect(killed).toBeGreaterThan(3);
  },
);

testTraced(
  "A server whose disk fails to sync runs jobs all the same, and the next one knows them",
  async () => {
    await using world = openWorld();
    await world.start();
    const first = await submit(world, 1, () => false);
    await world.farhandd(["stop"]);
    const server = serve(world, "error=EIO");
    await eventually(() => server.isUp() || server.isOver(), 30_000);
    const accepted = [...first, ...(await submit(world, 3, server.isOver)).slice(0, 3)];
    expect(accepted).toHaveLength(4);
    await world.farhandd(["stop"]);
    await eventually(server.isOver, 30_000);
    expect(server.log()).toContain("(INJECTED)");
    await world.start();
    expect((await world.status()).jobs.total).toBe(4);
    for (const job of accepted) expect((await world.farhand(["follow", job])).stdout).toStartWith("said");
  },
);

testTraced(
  "A server that cannot make its index on a failing disk says so, and leaves nothing that stops the next",
  async () => {
    await using world = openWorld();
    const server = serve(world, "error=EIO");
    await eventually(server.isOver, 30_000);
    expect(server.isUp()).toBe(false);
    expect((await server.ran).stderr).toBe(
      `farhandd: Cannot open "${world.state}/state.db": disk I/O error; see whether its disk is sound\n`,
    );
    await world.start();
  },
);

testTraced(
  "A keeper that is killed at any of its writes makes its job lost or leaves it as it ended, never a success",
  async () => {
    const outcomes: (string | undefined)[] = [];
    // Its output, its exit, its close, and none.
    for (let write = 1; write <= 4; write++) {
      await using world = openWorld();
      const server = serve(world, `signal=SIGKILL:when=${write}`, "pwritev");
      await eventually(() => server.isUp(), 30_000);
      const job = await world.detach("--shell", "echo said; exit 3");
      // The front too may die of writing how it ended, at so many writes of its own; the next one does it.
      const id = v.parse(JobId, job);
      const isClosed = () => findEnding(join(world.state, "ledgers", id), id).closed;
      await eventually(() => server.isOver() || isClosed(), 30_000);
      if (server.isOver()) await world.start();
      const { code } = await world.farhand(["wait", job]);
      const { outcome } = await world.job(job);
      outcomes.push(outcome?.type);
      expect(code).toBe(outcome?.type === "lost" ? 125 : 3);
      if (outcome?.type !== "lost") expect(outcome).toEqual({ type: "exited", code: 3 });
      const followed = await world.farhand(["follow", job]);
      expect(followed.code).toBe(code);
      if (code === 3) expect(followed.stdout).toBe("said\n");
    }
    console.info(`A keeper was killed at its writes: ${outcomes.join(", ")}`);
    expect(outcomes).toEqual(["lost", "lost", "exited", "exited"]);
  },
);
