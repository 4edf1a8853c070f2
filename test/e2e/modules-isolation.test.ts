import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { ACCOUNT, asRoot } from "../support/account.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(120_000);

const SECRET = "a-secret-of-the-server";

/** What a module finds in its process. */
const Found = v.object({
  env: v.record(v.string(), v.string()),
  argv: v.string(),
  /** What its descriptors are. */
  files: v.array(v.string()),
  /** Whether the token stands anywhere in its memory. */
  hasToken: v.boolean(),
  /** Of what it was asked to open, what it could. */
  opened: v.array(v.string()),
  uid: v.number(),
});

/** A module that looks for all that a process may have from another. `reversed`: the token, which would be found if it were told. */
const SNOOP = `
  import { openSync, readSync, closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
  import { defineCommand, v } from "farhand";
  function findInMemory(reversed) {
    const wanted = reversed.split("").map((one) => one.charCodeAt(0));
    const [last] = wanted;
    const fd = openSync("/proc/self/mem", "r");
    try {
      for (const line of readFileSync("/proc/self/maps", "latin1").split("\\n")) {
        const [, from, to, rights] = /^([0-9a-f]+)-([0-9a-f]+) (\\S+)/.exec(line) ?? [];
        if (rights === undefined || !rights.startsWith("rw")) continue;
        const buffer = Buffer.alloc(1 << 20);
        for (let at = parseInt(from, 16); at < parseInt(to, 16); at += buffer.length - wanted.length) {
          let size = 0;
          try { size = readSync(fd, buffer, 0, Math.min(buffer.length, parseInt(to, 16) - at), at); } catch { break; }
          for (let end = buffer.indexOf(last); end >= 0 && end < size; end = buffer.indexOf(last, end + 1))
            if (end >= wanted.length - 1 && wanted.every((code, index) => buffer[end - index] === code)) return true;
        }
      }
      return false;
    } finally { closeSync(fd); }
  }
  function isOpen(path) {
    try { readdirSync(path); return true; } catch {}
    try { closeSync(openSync(path, "r")); return true; } catch { return false; }
  }
  // Whoever became another user may not look into his own process by its name either.
  const attempt = (read, otherwise) => { try { return read(); } catch { return otherwise; } };
  const look = ({ reversed, paths }) => ({
    env: { ...process.env, ...Object.fromEntries(attempt(() => readFileSync("/proc/self/environ", "utf8"), "").split("\\0").filter(Boolean).map((entry) => entry.split(/=(.*)/s).slice(0, 2))) },
    argv: readFileSync("/proc/self/cmdline", "utf8"),
    files: attempt(() => readdirSync("/proc/self/fd"), []).flatMap((fd) => attempt(() => [readlinkSync("/proc/self/fd/" + fd)], [])),
    hasToken: attempt(() => findInMemory(reversed), false),
    opened: paths.filter(isOpen),
    uid: process.getuid(),
  });
  const input = v.object({ reversed: v.string(), paths: v.array(v.string()) });
  const of = (name, more) => defineCommand({ name, summary: "look", input, result: v.any(), run: look, ...more });
  export default [
    of("look", {}), of("look-job", { kind: "background" }),
    of("look-other", { runAs: "${ACCOUNT.runAs}" }), of("look-other-job", { kind: "background", runAs: "${ACCOUNT.runAs}" }),
  ];`;

async function setup() {
  const world = openWorld();
  chmodSync(dirname(world.home), 0o755);
  const commands = join(world.state, "commands");
  mkdirSync(commands, { recursive: true, mode: 0o700 });
  writeFileSync(join(commands, "snoop.ts"), SNOOP, { mode: 0o600 });
  const started = await world.farhandd(["start", "--listen", "127.0.0.1:0"], {
    env: { FARHAND_SECRET: SECRET, BUN_SECRET: SECRET },
  });
  expect(started.code).toBe(0);
  return world;
}

/** What a command finds, which is asked to open what is the server's. */
async function look(world: World, name: string) {
  const { pid, keepers } = await world.status();
  const processes = [pid, keepers[0]?.pid].flatMap((of) =>
    ["environ", "mem", "fd"].map((file) => `/proc/${of}/${file}`),
  );
  const files = ["", "local.json", "auth.db", "state.db", "ledgers", "commands", "logs"];
  const paths = [...files.map((file) => join(world.state, file)), ...processes];
  const reversed = world.local().token.split("").reverse().join("");
  const input = JSON.stringify({ reversed, paths });
  const { code, stdout, stderr } = await world.farhand(["call", name, "-w", "fresh", "--json", "-i", input]);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${stdout}${stderr}`);
  const text = stdout.trim().split("\n").at(-1) ?? "";
  const answer: unknown = JSON.parse(text);
  const returned = v.safeParse(v.object({ outcome: v.object({ value: Found }) }), answer);
  const found = returned.success ? returned.output.outcome.value : v.parse(Found, answer);
  return { found, paths };
}

/** Pipes and Bun's own; its own /proc, which it is just reading. */
const HARMLESS = /^(?:pipe|anon_inode|socket):|^\/dev\/|^\/proc\/\d+\/|^\/proc\/self/;

const kinds = [
  ["in the foreground", "look"],
  ["that is a job", "look-job"],
] as const;

test.each(kinds)(
  "A module %s finds nothing of the server in environment, argv, open files or memory",
  async (_, name) => {
    await using world = await setup();
    const { token } = world.local();
    const { found } = await look(world, name);
    const text = JSON.stringify({ env: found.env, argv: found.argv });
    for (const secret of [SECRET, token, world.state]) expect(text).not.toContain(secret);
    expect(Object.keys(found.env).filter((key) => /^(?:FARHAND_(?!JOB$)|BUN_)/.test(key))).toEqual([]);
    expect(found.files.filter((file) => !HARMLESS.test(file))).toEqual([]);
    expect(found.hasToken).toBe(false);
  },
);

test("A module that is told the token finds it in its memory, so that it would have found it", async () => {
  await using world = await setup();
  const { token } = world.local();
  const backwards = token.split("").reverse().join("");
  // What it is told reversed is what it looks for when it is told the token itself.
  const input = JSON.stringify({ reversed: token, paths: [backwards] });
  const { stdout } = await world.farhand(["call", "look", "--json", "-i", input]);
  expect(v.parse(Found, JSON.parse(stdout)).hasToken).toBe(true);
});

test("A module without run_as is the server's user, and can read the state directory, as the README says", async () => {
  await using world = await setup();
  const { found } = await look(world, "look");
  expect(found.uid).toBe(process.getuid?.() ?? -1);
  expect(found.opened).toContain(join(world.state, "local.json"));
  expect(readFileSync(join(import.meta.dir, "../../README.md"), "utf8")).toMatch(
    /without `run_as` it is the same user, who can read the state directory/,
  );
});

asRoot("A module with run_as can open nothing of the server, in the foreground or as a job", async () => {
  await using world = await setup();
  for (const name of ["look-other", "look-other-job"]) {
    const { found } = await look(world, name);
    expect(found.uid).toBe(ACCOUNT.uid);
    expect(found.opened).toEqual([]);
    expect(found.hasToken).toBe(false);
    expect(JSON.stringify(found.env)).not.toContain(SECRET);
  }
});
