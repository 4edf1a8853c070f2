import { expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(120_000);

const fault = findTraceFault();
const testTraced = testIf(fault === undefined, `a server under strace: ${fault}`);

/** Why system calls cannot be tampered with here, or undefined when they can. */
function findTraceFault(): string | undefined {
  if (Bun.which("strace") === null) return "there is no strace";
  const { success, stderr } = Bun.spawnSync(["strace", "-f", "-qq", "-e", "trace=none", "true"]);
  return success ? undefined : stderr.toString().trim();
}

/** A server in the foreground, to whose syncs something is done. */
function serve(world: World, injection: string) {
  const log = join(world.home, "strace.log");
  const injected = ["-e", "trace=fsync,fdatasync", "-e", `inject=fsync,fdatasync:${injection}`];
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
    const { code, stdout } = await world.farhand(["exec", "-d", "--shell", `echo said ${job}; exit ${job}`]);
    if (code === 0) accepted.push(stdout.trim());
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
