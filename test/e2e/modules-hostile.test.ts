import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { RawClient, type Received } from "../support/raw.ts";
import { isRunning, openWorld, readProcess, type World } from "../support/world.ts";

setDefaultTimeout(240_000);

const MiB = 1024 * 1024;
/** What the front may take more than it had; and ten times that beside a flood, where it is the collector's measure that shows. */
const BOUND = 16 * MiB;
const FLOOD_BOUND = 10 * BOUND;
/** Milliseconds within which 99 of 100 pings are answered: ten times what is aimed at. */
const PROMPT = 2_500;
/** What a call in the foreground may take, and a job of such a command, unless told otherwise: what its process takes to begin is part of it. */
const LIMIT = "1m";

/** What a module does to whoever runs it, what its call fails with, and how its job ends. */
interface Attack {
  readonly name: string;
  /** The body of its generator. */
  readonly body: string;
  /** What a call in the foreground fails with; undefined where that returns. */
  readonly failure: Readonly<Record<string, unknown>> | undefined;
  readonly outcome: Readonly<Record<string, unknown>>;
  /** Flags of the job. */
  readonly flags?: readonly string[];
  readonly limit?: string;
  /** It says very much, or prints it. */
  readonly isFlood?: boolean;
}

const RETURNED = { failure: undefined, outcome: { type: "returned" } };
const LATE = { failure: { code: "timed_out" }, outcome: { type: "timed_out" }, limit: "1500ms" };

const attacks: readonly Attack[] = [
  {
    name: "throws a proxy",
    body: "const no = () => { throw no; }; throw new Proxy({}, { get: no, getPrototypeOf: no });",
    failure: { code: "threw" },
    outcome: { type: "threw" },
  },
  { name: "loops for ever", body: "for (;;);", ...LATE },
  { name: "loops for ever in promises", body: "for (;;) await null;", ...LATE },
  {
    name: "leaks memory",
    body: "const all = []; for (;;) { all.push(new Uint8Array(8 * 1024 * 1024).fill(1)); await new Promise(setImmediate); }",
    failure: { code: "crashed", details: { signal: "SIGKILL" } },
    outcome: {},
    flags: ["--max-memory", "512MiB"],
  },
  {
    name: "exits",
    body: "process.exit(5);",
    failure: { code: "crashed", details: { code: 5 } },
    outcome: { type: "exited", code: 5 },
  },
  {
    name: "kills itself",
    body: 'process.kill(process.pid, "SIGKILL");',
    failure: { code: "crashed", details: { signal: "SIGKILL" } },
    outcome: { type: "signaled", signal: "SIGKILL" },
  },
  {
    name: "leaves a child that holds its descriptors",
    body: 'spawn("sleep", ["1000"], { stdio: ["ignore", "inherit", "inherit", 3, 4] });',
    ...RETURNED,
  },
  {
    name: "leaves a child in a session of its own",
    body: 'spawn("setsid", ["sleep", "1000"], { stdio: "inherit" }).unref(); await new Promise((resolve) => setTimeout(resolve, 200));',
    ...RETURNED,
  },
  {
    name: "makes many processes",
    body: 'for (let n = 0; n < 50; n++) spawn("sleep", ["1000"]);',
    ...RETURNED,
  },
  {
    name: "goes elsewhere, and makes its files everybody's",
    body: 'process.chdir("/"); process.umask(0); process.env.PATH = ""; delete process.env.HOME;',
    ...RETURNED,
  },
  { name: "floods stdout", body: 'for (;;) console.log("x".repeat(10000));', ...LATE, isFlood: true },
  {
    name: "floods stderr without a line",
    body: 'for (;;) process.stderr.write("x".repeat(10000));',
    ...LATE,
    isFlood: true,
  },
  { name: "floods events", body: "for (let n = 0; ; n++) yield n;", ...LATE, isFlood: true },
  {
    name: "floods large events",
    body: 'const text = "x".repeat(1e6); for (;;) yield text;',
    ...LATE,
    isFlood: true,
  },
  {
    name: "floods bytes",
    body: "const bytes = new Uint8Array(1e6); for (;;) yield bytes;",
    ...LATE,
    isFlood: true,
  },
  {
    name: "never ends a value",
    body: "for (;;) writeSync(4, Buffer.concat([Buffer.from([0, 0, 255, 255, 7]), new Uint8Array(65535)]));",
    failure: {},
    outcome: {},
  },
  {
    name: "says for ever what went wrong",
    body: `
      const head = Buffer.alloc(5, 6);
      head.writeUInt32BE(16 * 1024 * 1024);
      writeSync(4, head);
      for (;;) writeSync(4, new Uint8Array(1000));`,
    failure: { code: "crashed" },
    outcome: {},
  },
  {
    name: "closes its descriptors",
    body: "for (let fd = 0; fd < 20; fd++) try { closeSync(fd); } catch {} yield 1;",
    failure: {},
    outcome: {},
  },
  {
    name: "writes garbage where it is listened to",
    body: 'for (const fd of [3, 4]) try { writeSync(fd, "garbage".repeat(100)); } catch {} yield 1;',
    failure: { code: "crashed" },
    outcome: {},
  },
  {
    name: "changes what everything is made of",
    body: `
      const no = () => { throw new Error("no"); };
      JSON.parse = JSON.stringify = no;
      for (const type of [Map, Set, Array, Promise, Uint8Array, Object, Function])
        for (const name of Object.getOwnPropertyNames(type.prototype))
          if (name !== "constructor") try { type.prototype[name] = no; } catch {}
      globalThis.Promise = globalThis.TextEncoder = globalThis.Buffer = no;
      process.exit = no;`,
    failure: {},
    outcome: {},
  },
  {
    name: "leaves rejections behind",
    body: 'for (let n = 0; n < 1000; n++) Promise.reject(new Error("nobody waits")); await new Promise(() => {});',
    failure: { code: "threw", message: "nobody waits" },
    outcome: { type: "threw" },
  },
  {
    name: "does not hear that it is to end",
    body: 'process.removeAllListeners(); for (const name of ["SIGTERM", "SIGALRM", "SIGINT"]) process.on(name, () => {}); setInterval(() => {}, 10); await new Promise(() => {});',
    ...LATE,
  },
];

/** A module whose commands do these things, in the foreground and as jobs. */
function toModule(): string {
  const commands = attacks.flatMap(({ body, limit = LIMIT }, index) =>
    ["foreground", "background"].map(
      (
        kind,
      ) => `defineCommand({ name: "${kind}-${index}", kind: "${kind}", summary: "x", event: v.any(), timeout: "${limit}",
        async *run() { ${body} } })`,
    ),
  );
  return `
    import { closeSync, writeSync } from "node:fs";
    import { spawn } from "node:child_process";
    import { defineCommand, v } from "farhand";
    export default [${commands.join(",\n")}, defineCommand({ name: "kind", summary: "x", result: v.string(), run: () => "kind" })];`;
}

async function setup() {
  const world = openWorld();
  const commands = join(world.state, "commands");
  mkdirSync(commands, { recursive: true, mode: 0o700 });
  writeFileSync(join(commands, "hostile.ts"), toModule(), { mode: 0o600 });
  const { pid: front } = await world.start();
  // What every first call takes is taken.
  expect(await world.farhand(["kind"])).toMatchObject({ code: 0, stdout: "kind\n" });
  expect(await world.farhand(["exec", "true"])).toMatchObject({ code: 0 });
  return { ...world, front };
}

/** Pings again and again until told to stop, and answers how long (ms) each took, from the shortest. */
async function pingUntil(world: World, over: Promise<unknown>): Promise<readonly number[]> {
  using client = await RawClient.open(world.local());
  let isOver = false;
  over.finally(() => (isOver = true)).catch(() => {}); // whoever waits for it is told
  const times: number[] = [];
  let ack = 0;
  for (let call = 1; !isOver || times.length < 20; call++) {
    const began = performance.now();
    client.call(call, "ping", {}, { ack });
    ack = Number((await client.control("result"))["seq"]);
    times.push(performance.now() - began);
    await Bun.sleep(5);
  }
  return times.toSorted((one, other) => one - other);
}

/** Calls a command as somebody who takes nothing of what it says, and answers what came of it. */
async function call(world: World, name: string): Promise<Readonly<Record<string, unknown>>> {
  using client = await RawClient.open(world.local());
  client.call(1, name, {});
  const find = (got: Received) =>
    got.type === "control" && ["failed", "result"].includes(got.frame.type) ? got.frame : undefined;
  return await client.next(find, 60_000);
}

/** A job of a command, to its end: its outcome. */
async function run(world: World, name: string, flags: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await world.farhand(["call", "-d", ...flags, name]);
  if (code !== 0) throw new Error(stderr);
  const job = stdout.trim();
  await eventually(async () => (await world.job(job)).outcome !== undefined, 60_000);
  return (await world.job(job)).outcome;
}

/** Pids of the front's runners. */
const runners = (front: number) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => / runner own/.test(readProcess(pid, "cmdline")))
    .filter((pid) => new RegExp(`^PPid:\\s+${front}$`, "m").test(readProcess(pid, "status")));

test.each(attacks.map((attack, index) => [attack.name, attack, index] as const))(
  "A module that %s hurts nobody else, in the foreground or as a job",
  async (name, { failure, outcome, flags = [], isFlood = false }, index) => {
    await using world = await setup();
    using gauge = openGauge([world.front]);
    const attacking = Promise.all([
      call(world, `foreground-${index}`),
      run(world, `background-${index}`, flags),
      world.shell(`farhand call foreground-${index} >/dev/null`),
    ]);
    const times = await pingUntil(world, attacking);
    const [frame, ended, heard] = await attacking;
    expect(heard.code === 0).toBe(failure === undefined);
    if (failure === undefined) expect(frame["type"]).toBe("result");
    else expect(frame).toMatchObject({ type: "failed", error: failure });
    expect(ended).toMatchObject(outcome);
    const [peak = 0] = gauge.peaks();
    const p99 = times[Math.floor(times.length * 0.99)] ?? Number.NaN;
    console.log(
      `${name}: the front took ${(peak / MiB).toFixed(1)} MiB more, and answered 99 of 100 of ${times.length} pings within ${p99.toFixed(0)} ms`,
    );
    expect(peak).toBeLessThan(isFlood ? FLOOD_BOUND : BOUND);
    expect(p99).toBeLessThan(PROMPT);
    // Whoever calls next finds nothing of it.
    expect(await world.farhand(["kind"])).toMatchObject({ code: 0, stdout: "kind\n" });
    await eventually(() => runners(world.front).length === 0, 30_000);
    expect(isRunning(world.front)).toBe(true);
    expect((await world.farhand(["exec", "echo", "here"])).stdout).toBe("here\n");
  },
);

test("A server that is killed takes its runners with it, whatever they do", async () => {
  await using world = await setup();
  const looping = call(world, "foreground-1").catch(() => {});
  await eventually(() => runners(world.front).length > 0);
  const [runner = 0] = runners(world.front);
  await eventually(() => / R /.test(readFileSync(`/proc/${runner}/stat`, "utf8")));
  process.kill(world.front, "SIGKILL");
  await eventually(() => !isRunning(runner));
  await looping;
});
