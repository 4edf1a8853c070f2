import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { FARHAND, FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { findInMemory } from "../support/process-memory.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(120_000);

const PASSWORD = "a password that is hunted for";
const VALUE = "the value of a variable that is hunted for";
const CONTENT = "what a file holds that is hunted for";

/** The part of a token that is secret; its id is not. */
const toSeed = (token: string) => token.trim().slice(-43);

/** A world whose server says everything that it ever does, and what it said. */
async function setup() {
  const world = openWorld();
  const given = join(dirname(world.home), "given"); // what we ourselves keep secrets in
  mkdirSync(given, { mode: 0o700 });
  const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0", "--log-level", "debug"]);
  await eventually(() => existsSync(join(world.state, "local.json")), 20_000);
  const { url, token: local } = world.local();
  const said: string[] = [];
  const listen = <T extends { readonly stdout: string; readonly stderr: string }>(ran: T): T => {
    said.push(ran.stdout, ran.stderr);
    return ran;
  };
  const use = async (args: string[], env: Record<string, string> = {}, stdin?: string) =>
    listen(await world.farhand(["--log-level", "debug", ...args], { env, stdin }));
  /** As somebody with a token, who does not read what this machine's own user may. */
  const as = (token: string, args: string[], stdin?: string) =>
    use(["-H", url, ...args], { FARHAND_TOKEN: token, FARHAND_STATE: join(given, "none") }, stdin);
  const keep = (name: string, text: string) => {
    writeFileSync(join(given, name), text, { mode: 0o600 });
    return join(given, name);
  };
  return { ...world, given, server, url, local, said, listen, use, as, keep };
}

test("Tokens, passwords and secrets are nowhere but where they belong, however they are used and whatever crashes", async () => {
  await using world = await setup();
  const { as, use, keep, listen, said, url } = world;

  const created = (await world.farhandd(["token", "create", "ci", "--role", "operator"])).stdout.trim();
  const narrowed = (
    await world.farhand(["token", "narrow", "--only", "exec"], { env: { FARHAND_TOKEN: created } })
  ).stdout.trim();
  listen(await world.farhandd(["user", "add", "ann", "--password-stdin"], { stdin: `${PASSWORD}\n` }));
  const invitation = (await world.farhandd(["invite", "--user", "bob"])).stdout;
  const joined = await use(["join", "-", "--name", "joined"], {}, invitation);
  const loggedIn = await use(["login", "joined", "--user", "ann"], {}, `${PASSWORD}\n`);
  expect([toSeed(created).length, toSeed(narrowed).length]).toEqual([43, 43]);
  expect([joined.code, loggedIn.code]).toEqual([0, 0]);

  for (const token of [created, narrowed, world.local]) {
    expect((await as(token, ["exec", "--", "env"])).code).toBe(0);
    await as(token, ["exec", "-t", "--", "env"]);
    await as(token, ["exec", "--", "no-such-program"]);
    await as(token, ["ls", "/no/such"]);
    await as(token, ["exec", "--json", "--max-exec-time", "1ms", "--", "sleep", "5"]);
    await use(["-H", url, "--token-file", keep("token", `${token}\n`), "exec", "--", "true"]);
  }
  await use(["env"]);
  await use(["exec", "--secret", "KEY=@x", "--", "true"]);
  const secret = keep("secret", VALUE);
  await use(["exec", "--secret", `KEY=@${secret}`, "--", "sh", "-c", ': "$1"', "-", VALUE]);
  await use(["exec", "--secret", `KEY=@${secret}`, "--", `missing ${VALUE}`]);
  const file = keep("content", CONTENT);
  expect((await world.farhand(["rdfile", file])).stdout).toBe(CONTENT);
  await world.farhand(["wrfile", join(world.given, "written"), "--file", file]);
  // Wrong ones, of each kind.
  const wrong = `${created.slice(0, -4)}AAAA`;
  await as(wrong, ["exec", "--", "true"]);
  await use(["login", "joined", "--user", "ann"], {}, `${PASSWORD}!\n`);
  const asked = ["/", "/healthz", "/v1/status", "/v1/channel", "/v1/ticket", `/v1/status?token=${wrong}`];
  for (const path of asked)
    said.push(await (await fetch(url + path, { headers: { authorization: `Bearer ${wrong}` } })).text());

  // While programs run: one was given the secret, the others nothing.
  await world.farhand(["exec", "-d", "--secret", `KEY=@${secret}`, "--", "sleep", "100"]);
  await world.farhand(["-H", "joined", "exec", "-d", "--", "sleep", "101"]);
  const attached = world.open(["farhand", "-H", url, "exec", "--", "sleep", "102"], {
    env: { FARHAND_TOKEN: world.local, FARHAND_STATE: undefined },
  });
  await eventually(() => world.processes(/^sleep 10[012]/).length === 3, 20_000);

  const stored = collect(world.home);
  const hunted = [
    ...[created, narrowed, world.local, wrong].map(toSeed),
    ...new Set(stored.flatMap((path) => readFileSync(path, "latin1").match(/fh_[\w.-]+/g) ?? []).map(toSeed)),
    PASSWORD,
    VALUE,
    CONTENT,
  ];
  expect(hunted.length).toBeGreaterThanOrEqual(8); // the tokens that were joined and logged in for are among them
  const holds = (text: string) => hunted.some((one) => text.includes(one));

  const pids = world.processes(/./);
  expect(pids.length).toBeGreaterThanOrEqual(6);
  const show = (pid: number) => readProcess(pid, "cmdline").trim();
  expect(pids.filter((pid) => holds(readProcess(pid, "cmdline"))).map(show)).toEqual([]);
  // We gave our own client a token in its environment; of what it started nothing has it.
  const telling = pids.filter((pid) => pid !== attached.pid && holds(readProcess(pid, "environ")));
  expect(telling.map(show)).toEqual(["sleep 100"]);
  const { stdout: listed } = await world.shell(
    "ps axwwe -o args | grep -v 'sleep 100' | grep -v 'farhand -H'",
  );
  expect(holds(listed)).toBe(false);

  // Everything crashes, and says what a crash says.
  const [keeper] = (await world.status()).keepers;
  const front = world.server.pid;
  attached.kill("SIGABRT");
  said.push(...Object.values(await attached.ran).map(String));
  process.kill(keeper?.pid ?? 0, "SIGSEGV");
  process.kill(front, "SIGABRT");
  said.push(...Object.values(await world.server.ran).map(String));
  await eventually(() => !isRunning(keeper?.pid ?? 0), 20_000);

  expect(said.filter(holds)).toEqual([]);
  const kept = [...collect(world.state), ...collect(world.home)].filter((path) =>
    holds(readFileSync(path, "latin1")),
  );
  const belongs = kept.filter((path) => path !== join(world.state, "local.json") && !stored.includes(path));
  expect(belongs).toEqual([]);
  expect(collect(world.home).filter((path) => /(^|\/)core/.test(path))).toEqual([]);
  for (const path of [FARHAND, FARHANDD]) expect(holds(readFileSync(path, "latin1"))).toBe(false);
});

const LOOKS = `
  import { readdirSync, readFileSync, readlinkSync } from "node:fs";
  import { defineTask } from "farhand";
  const target = (fd) => { try { return readlinkSync("/proc/self/fd/" + fd); } catch { return "gone"; } };
  export default defineTask({
    init: () => 0,
    exec(context, state, args) {
      context.respond({
        pid: process.pid,
        env: { ...process.env },
        given: context.env,
        caller: context.caller,
        argv: [...process.argv, ...process.execArgv, readFileSync("/proc/self/cmdline", "latin1")],
        files: readdirSync("/proc/self/fd").map(target),
        maps: readFileSync("/proc/self/maps", "latin1"),
      });
      return state + args;
    },
  });
`;

test("A task's process has no token, database or descriptor of the server, in its environment, argv, files or memory", async () => {
  await using world = await setup();
  const { as, use, keep, local } = world;
  const created = (await world.farhandd(["token", "create", "ci", "--role", "operator"])).stdout.trim();
  const hunted = [created, local].map(toSeed);
  const module = join(world.home, "looks.ts");
  writeFileSync(module, LOOKS);
  // Started by one, and asked by another, each with a token of his own.
  expect((await as(created, ["task", "start", "looks", module])).code).toBe(0);
  await use(["exec", "--secret", `KEY=@${keep("secret", VALUE)}`, "--", "true"]);
  const asked = await as(local, ["task", "exec", "looks", "1", "--json"]);
  const { pid, files, maps, ...told } = JSON.parse(asked.stdout).value;

  expect(hunted.filter((seed) => JSON.stringify(told).includes(seed))).toEqual([]);
  expect(Object.keys(told.env).filter((name) => /^(FARHAND|BUN)_/.test(name))).toEqual(["FARHAND_JOB"]);
  expect(told.argv.join(" ")).not.toContain(world.state);
  // Its order, what it writes, what it tells, and what Bun itself opens.
  const foreign = (files as string[]).filter((file) => !/^(pipe:|anon_inode:|\/dev\/|gone$)/.test(file));
  expect(foreign).toEqual([]);
  expect(maps).not.toContain(world.state);

  const found = findInMemory(pid, [...hunted, VALUE]);
  if (found === undefined) console.warn("Not looked at here: the memory of a task's process");
  else {
    expect(found).toEqual([]);
    // The same look finds what is there: the server's own, in the server.
    expect(findInMemory(world.server.pid, hunted)).toContain(toSeed(local));
  }
});

/** Every file below a directory. */
function collect(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
