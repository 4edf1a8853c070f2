import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

const PACK = `import { appendFileSync } from "node:fs";
import { type CommandContext, defineCommand, definePack, v } from "farhand";

const Config = v.object({ notes: v.string(), start: v.optional(v.number(), 0), secret: v.optional(v.string()) });
type Config = v.InferOutput<typeof Config>;
interface Counter {
  readonly notes: string;
  count: number;
  busy: number;
}
type Context = CommandContext<Config, Counter>;

const next = defineCommand({
  name: "next",
  summary: "Count",
  input: v.object({ by: v.optional(v.number(), 1) }),
  positional: ["by"],
  result: v.object({ count: v.number(), busy: v.number() }),
  async run({ by }, { shared }: Context) {
    shared.busy++;
    await Bun.sleep(5);
    const busy = shared.busy--;
    return { count: (shared.count += by), busy };
  },
});

const total = defineCommand({ name: "total", summary: "Tell", run: (_input, { shared }: Context) => shared.count });

const tick = defineCommand({
  name: "tick",
  kind: "background",
  summary: "Count in a job",
  run: (_input, { shared }: Context) => ++shared.count,
});

const linger = defineCommand({
  name: "linger",
  kind: "background",
  summary: "Stay until it is killed",
  run: (_input, { signal }: Context) =>
    signal.aborted || new Promise((resolve) => signal.addEventListener("abort", () => resolve(true))),
});

export default definePack({
  name: "counter",
  config: Config,
  init({ notes, start }) {
    appendFileSync(notes, "init\\n");
    return { notes, count: start, busy: 0 };
  },
  dispose({ notes, count }) {
    appendFileSync(notes, \`dispose \${count}\\n\`);
  },
  commands: [next, total, tick, linger],
});
`;

/** A world with a server that has the pack, configured by these lines. */
async function setup(...lines: string[]) {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  writeFileSync(at("counter.ts"), PACK);
  const configure = (...more: string[]) =>
    writeFileSync(
      at("farhand.toml"),
      [`[extensions.counter]`, `notes = ${JSON.stringify(at("notes"))}`, ...more, ""].join("\n"),
    );
  configure(...lines);
  const serve = () =>
    world.start("--listen", "127.0.0.1:0", "--config", at("farhand.toml"), "--extension", at("counter.ts"));
  await serve();
  const call = async (...args: string[]): Promise<unknown> =>
    JSON.parse((await world.farhand([...args, "--json"])).stdout);
  const notes = () =>
    existsSync(at("notes")) ? readFileSync(at("notes"), "utf8").split("\n").slice(0, -1) : [];
  return { ...world, at, configure, serve, call, notes };
}

test("A module that is looked at before it is offered finds nothing of the server", async () => {
  await using world = await setup();
  writeFileSync(
    world.at("spy.ts"),
    `import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
const open = readdirSync("/proc/self/fd").filter((fd) => Number(fd) > 2).flatMap((fd) => {
  try {
    return [readlinkSync("/proc/self/fd/" + fd)];
  } catch {
    return []; // it was that of the directory
  }
});
const found = { open, env: Object.keys(process.env).sort(), argv: process.argv, cwd: process.cwd() };
writeFileSync(${JSON.stringify(world.at("found"))}, JSON.stringify(found));
export default { name: "spy", summary: "Looks around", run() {} };`,
  );
  writeFileSync(
    world.at("farhand.toml"),
    `commands.files = ["spy.ts"]\n${readFileSync(world.at("farhand.toml"), "utf8")}`,
  );
  expect(await world.farhandd(["reload"])).toMatchObject({ code: 0 });
  const found: Record<"open" | "env" | "argv", string[]> = JSON.parse(
    readFileSync(world.at("found"), "utf8"),
  );
  expect(found.env).toContain("HOME");
  expect(found.env.filter((name) => !/^(HOME|PATH|PWD|TEMP|SystemRoot)$/.test(name))).toEqual([]);
  const { token } = world.local();
  const all = JSON.stringify(found);
  for (const secret of [world.state, token]) expect(all).not.toContain(secret);
  expect(found.open.filter((path) => /socket|\.db|state/.test(path) && !path.startsWith("/proc"))).toEqual(
    [],
  );
});

describe("A pack", () => {
  test("is set up once for all calls in the foreground, which take turns, and disposed of with the server", async () => {
    await using world = await setup("start = 100");
    const said = await Promise.all(Array.from({ length: 10 }, () => world.call("next", "2")));
    expect(said.map((one) => (one as { busy: number }).busy)).toEqual(Array(10).fill(1));
    expect(said.map((one) => (one as { count: number }).count).sort()).toEqual(
      Array.from({ length: 10 }, (_, index) => 102 + 2 * index).sort(),
    );
    expect(await world.call("total")).toBe(120);
    expect(world.notes()).toEqual(["init"]);
    expect((await world.farhandd(["stop"])).code).toBe(0);
    expect(world.notes()).toEqual(["init", "dispose 120"]);
  });

  test("is set up for each of its jobs anew, and disposed of when that ends", async () => {
    await using world = await setup("start = 5");
    expect((await world.farhand(["tick"])).code).toBe(0);
    expect((await world.farhand(["tick"])).code).toBe(0);
    expect(world.notes()).toEqual(["init", "dispose 6", "init", "dispose 6"]);
  });

  test("begins anew with another configuration, and goes on as it was with one that does not fit it", async () => {
    await using world = await setup("start = 1");
    await world.call("next");
    world.configure("start = 10");
    expect((await world.farhandd(["reload"])).code).toBe(0);
    expect(await world.call("next")).toMatchObject({ count: 11 });
    await eventually(() => world.notes().includes("dispose 2"));
    world.configure('start = "ten"');
    const reloaded = await world.farhandd(["reload"]);
    expect(reloaded.code).toBe(1);
    expect(reloaded.stdout + reloaded.stderr).toContain("extensions.counter.start: Invalid type");
    expect(await world.call("next")).toMatchObject({ count: 12 });
    expect(world.notes().sort()).toEqual(["dispose 2", "init", "init"]);
  });

  test("finds its secrets in its configuration, which no process shows in its arguments or environment", async () => {
    await using world = await setup('secret = "very-secret-word"');
    await world.call("next");
    const job = world.open(["farhand", "linger"]);
    await eventually(() => world.notes().length > 1);
    const shown = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => ["cmdline", "environ"].map((file) => readProcess(Number(pid), file)));
    expect(shown.some((text) => text.startsWith(`${FARHANDD} runner`))).toBe(true);
    expect(shown.filter((text) => text.includes("very-secret-word"))).toEqual([]);
    job.kill("SIGINT");
    await job.ran;
  });
});
