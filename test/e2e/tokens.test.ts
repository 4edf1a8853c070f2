import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fillDisk, findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type Running } from "../support/world.ts";

setDefaultTimeout(60_000);

const fault = findMountFault();

async function setup(...args: string[]) {
  const world = openWorld();
  await world.start(...args);
  const { url } = world.local();
  /** The client as somebody who has a token, and does not read what this machine's own user may. */
  const as = (token: string) => ({ env: { FARHAND_TOKEN: token, FARHAND_STATE: undefined } });
  const farhandAs = (token: string, ...args: string[]) => world.farhand(["-H", url, ...args], as(token));
  const openAs = (token: string, ...args: string[]) => world.open(["farhand", "-H", url, ...args], as(token));
  const create = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhandd(["token", "create", ...args]);
    if (code !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  const list = async () => JSON.parse((await world.farhandd(["token", "list", "--json"])).stdout);
  return { ...world, url, farhandAs, openAs, create, list };
}

describe("farhandd token", () => {
  test("makes a token that lets in as its user with its roles, prints it alone, and never again", async () => {
    await using world = await setup();
    const made = await world.farhandd(["token", "create", "ci", "--user", "alice", "--expires", "30d"]);
    expect(made.stdout).toMatch(/^fh_[0-9a-f]{16}_[\w-]{43}\n$/);
    expect(made.stderr).toContain('Token "ci"');
    const token = made.stdout.trim();
    expect(await world.farhandAs(token, "exec", "--", "echo", "let in")).toMatchObject({
      code: 0,
      stdout: "let in\n",
    });
    expect(await world.job("1")).toMatchObject({ owner: "alice" });
    const viewer = await world.create("board", "--role", "viewer");
    expect((await world.farhandAs(viewer, "exec", "--", "true")).stderr).toContain("permission");
    await world.farhandd(["stop"]); // which writes down what was used last
    const table = await world.farhandd(["token", "list"]);
    expect(table.stdout).toMatch(
      /^NAME +ID +USER .*\nboard .*\nci +\w{16} +alice +operator .* from 127\.0\.0\.1\n$/,
    );
    const kept = readdirSync(world.state).filter((name) => name.startsWith("auth.db"));
    for (const text of [
      table.stdout,
      table.stderr,
      ...kept.map((name) => readFileSync(join(world.state, name), "latin1")),
    ])
      expect(text.includes(token.slice(-43))).toBe(false);
  });

  test("needs no server, and writes a file for its user alone", async () => {
    await using world = openWorld();
    const out = join(world.home, "ci.token");
    const made = await world.shell(`umask 000; farhandd token create ci --out ${out} --json`);
    expect([made.code, JSON.parse(made.stdout)]).toMatchObject([
      0,
      { file: out, name: "ci", roles: ["operator"] },
    ]);
    const token = readFileSync(out, "utf8").trim();
    expect(made.stdout + made.stderr).not.toContain(token.slice(-43));
    for (const path of [out, ...readdirSync(world.state).map((name) => join(world.state, name))])
      expect([path, statSync(path).mode & 0o077]).toEqual([path, 0]);
    expect((await world.farhandd(["token", "create", "again", "--out", out])).stderr).toContain(
      "there is a file",
    );
    expect(JSON.parse((await world.farhandd(["token", "list", "--json"])).stdout)).toHaveLength(1);
    await world.shell("umask 000; farhandd start --listen 127.0.0.1:0");
    const names = readdirSync(world.state, { recursive: true, encoding: "utf8" });
    for (const name of names)
      expect([name, statSync(join(world.state, name)).mode & 0o077]).toEqual([name, 0]);
    const env = { FARHAND_TOKEN: token, FARHAND_STATE: undefined };
    expect((await world.farhand(["-H", world.local().url, "ping"], { env })).code).toBe(0);
  });

  test.each([
    [["create"], "say the name"],
    [["create", "a b"], 'Cannot use token "a b"'],
    [["create", "local"], "reserved"],
    [["create", "x", "--user", "local"], "reserved"],
    [["create", "x", "--role", "root"], 'Cannot use role "root": there are admin, operator, viewer'],
    [["create", "x", "--expires", "soon"], 'Cannot use --expires "soon": write'],
    [["create", "x", "--expires", "0s"], "from 1s to 3650d, or never"],
    [["revoke", "nobody"], "there is none of that name or id"],
    [["rotate", "nobody"], "there is none of that name or id"],
    [["rotate", "nobody", "--overlap", "never"], "would not end"],
    [["mint"], "say create, list, revoke, rotate"],
    [[], "say create, list, revoke, rotate"],
  ])("refuses %j in a sentence", async (args, why) => {
    await using world = openWorld();
    const { code, stdout, stderr } = await world.farhandd(["token", ...args]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^farhandd: Cannot [^\n]+\n$/);
    expect(stderr).toContain(why);
  });

  test("rotates: the old key ends at once, or after the overlap", async () => {
    await using world = await setup();
    const first = await world.create("ci");
    const rotate = async (...args: string[]) =>
      (await world.farhandd(["token", "rotate", "ci", ...args])).stdout.trim();
    const second = await rotate("--overlap", "1h");
    expect((await world.farhandAs(first, "ping")).code).toBe(0);
    expect((await world.farhandAs(second, "ping")).code).toBe(0);
    const third = await rotate();
    for (const old of [first, second]) expect((await world.farhandAs(old, "ping")).code).toBe(125);
    expect((await world.farhandAs(third, "ping")).code).toBe(0);
    await world.farhandd(["token", "revoke", "ci"]);
    expect([(await world.farhandAs(third, "ping")).code, await world.list()]).toEqual([125, []]);
  });
});

describe("auth.db", () => {
  test("that others may read keeps the server from starting, and says what to do", async () => {
    await using world = openWorld();
    await world.farhandd(["token", "create", "ci"]);
    chmodSync(join(world.state, "auth.db"), 0o644);
    for (const args of [
      ["start", "--listen", "127.0.0.1:0"],
      ["token", "list"],
    ])
      expect(await world.farhandd(args)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /^farhandd: Cannot open [^\n]*others may read it; run chmod 600 [^\n]*\n$/,
        ),
      });
  });

  test("that another process writes for too long is told of in a sentence, and changes nothing", async () => {
    await using world = await setup();
    await world.create("ci");
    using database = new Database(join(world.state, "auth.db"));
    database.run("BEGIN IMMEDIATE");
    const { code, stdout, stderr } = await world.farhandd(["token", "revoke", "ci"]);
    expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining("another process writes to it")]);
    database.run("ROLLBACK");
    expect(await world.list()).toHaveLength(1);
  });

  testIf(fault === undefined, String(fault))("on a full disk makes no token, and says why", async () => {
    await using stack = new AsyncDisposableStack();
    const world = stack.use(await setup());
    await world.create("ci");
    await world.farhandd(["stop"]);
    mkdirSync(join(world.home, "small"));
    stack.use(mountOn(join(world.home, "small"), 1024 * 1024));
    const env = { FARHAND_STATE: join(world.home, "small") };
    expect((await world.farhandd(["token", "create", "first"], { env })).code).toBe(0);
    using _filler = fillDisk(join(world.home, "small"));
    const out = join(world.home, "out.token");
    const { code, stdout, stderr } = await world.farhandd(["token", "create", "second", "--out", out], {
      env,
    });
    expect([code, stdout, existsSync(out)]).toEqual([1, "", false]);
    expect(stderr).toMatch(/^farhandd: Cannot [^\n]*disk[^\n]* is full[^\n]*\n$/);
  });
});

describe("Whoever is connected", () => {
  /** Streams until it is ended; says a line every 50 ms. */
  const stream = ["exec", "--", "sh", "-c", "while :; do echo on; sleep 0.05; done"];
  const isStreaming = ({ said }: Running) => said().includes("on\n");

  test("is sent away within five seconds of the end of his token, and does not come again; his jobs go on", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "password"), "correct horse battery staple\n");
    await world.shell("farhandd user add carol --role operator --role viewer --password-stdin < password");
    const tokens = {
      revoked: await world.create("revoked"),
      rotated: await world.create("rotated"),
      removed: await world.create("removed", "--user", "bob"),
      unroled: await world.create("unroled", "--user", "carol"),
      staying: await world.create("staying"),
    };
    const streams = Object.values(tokens).map((token) => world.openAs(token, ...stream));
    const staying = streams.pop();
    await eventually(() => [...streams, staying].every((one) => one && isStreaming(one)), 30_000);
    const follow = world.openAs(tokens.revoked, "follow", "@last");
    await eventually(() => isStreaming(follow));
    const expired = await world.create("expiring", "--expires", "3s");
    const expiring = world.openAs(expired, ...stream);
    await eventually(() => isStreaming(expiring));

    const began = performance.now();
    await world.shell(
      "farhandd token revoke revoked; farhandd token rotate rotated; farhandd user remove bob; farhandd user roles carol --role viewer",
    );
    for (const one of [...streams, follow, expiring]) {
      const { code, stderr } = await one.ran;
      expect([code, stderr]).toEqual([
        125,
        expect.stringMatching(/^farhand: Your token is not valid any more[^\n]*\n$/),
      ]);
    }
    // Five seconds for the last of them, which had three to live; the commands above are what takes time here.
    expect(performance.now() - began).toBeLessThan(8_000);
    const { running } = (await world.status()).jobs;
    expect(running).toBe(6);
    const before = staying?.said().length ?? 0;
    await eventually(() => (staying?.said().length ?? 0) > before);
    expect((await world.farhandAs(tokens.unroled, "jobs", "--json")).code).toBe(0);
    expect((await world.farhandAs(tokens.unroled, "exec", "--", "true")).stderr).toContain("permission");
  });

  test("cannot come back to a session that waited for him", async () => {
    await using world = await setup();
    const token = await world.create("ci");
    const client = world.openAs(token, ...stream);
    await eventually(() => isStreaming(client));
    client.kill("SIGSTOP"); // it can neither notice nor answer
    await world.farhandd(["token", "revoke", "ci"]);
    const log = () => readFileSync(join(world.state, "logs", "server.log"), "utf8");
    await eventually(() => log().includes('code="unauthenticated"'), 5_000);
    client.kill("SIGCONT");
    expect((await client.ran).code).toBe(125);
    expect(existsSync(join(world.state, "auth.db"))).toBe(true);
  });
});

test("nothing in the state directory but local.json lets anybody in", async () => {
  const unix = "server.sock"; // where nobody is refused without a look at what he presents
  await using world = await setup("--listen", "127.0.0.1:0", "--listen", `unix:${unix}`);
  writeFileSync(join(world.home, "password"), "correct horse battery staple\n");
  await world.shell("farhandd user add alice --password-stdin < password");
  await world.create("ci");
  await world.farhandd(["invite", "--user", "bob"]);
  using database = new Database(join(world.state, "auth.db"), { readonly: true });
  const rows = ["tokens", "users", "invites"].flatMap((table) =>
    database.query(`SELECT * FROM ${table}`).all(),
  );
  const cells = rows.flatMap((row) => Object.values(Object(row)));
  const [kept, secrets] = [cells.flatMap(toTexts), cells.filter((cell) => cell instanceof Uint8Array)];
  expect([rows.length, secrets.length]).toEqual([3, 2]); // a public key, and a digest
  const files = ["auth.db", "auth.db-wal", "state.db", "state.db-wal", "logs/server.log"];
  const texts = files.map((name) => join(world.state, name)).filter(existsSync);
  const found = texts.flatMap((path) => readFileSync(path, "latin1").match(/[\w$+/=.,-]{8,}/g) ?? []);
  expect(found.join("\n")).not.toContain("fh_");
  const tries = new Set([...kept, ...found]);
  const ids = cells.filter((cell) => /^[0-9a-f]{16}$/.test(String(cell)));
  for (const id of ids) for (const text of [...tries]) tries.add(`fh_${id}_${text}`);
  const post = (path: string, body: object) =>
    fetch(`http://localhost${path}`, {
      unix: join(world.home, unix),
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  for (const text of tries) {
    const headers = { authorization: `Bearer ${text}` };
    const answers = await Promise.all([
      fetch("http://localhost/v1/status", { headers, unix: join(world.home, unix) }),
      post("/v1/join", { secret: text }),
    ]);
    expect([text, ...answers.map(({ status }) => status)]).toEqual([text, 401, 401]);
  }
  // Comparing passwords is dear: what is kept of this one, and its parts.
  for (const password of kept.flatMap((text) =>
    text.startsWith("$argon2id$") ? [text, ...text.split("$")] : [],
  ))
    expect((await post("/v1/login", { user: "alice", password })).status).toBe(401);
});

/** A cell of a database as anybody would write it down. */
function toTexts(cell: unknown): readonly string[] {
  if (!(cell instanceof Uint8Array)) return [String(cell)];
  return (["base64url", "base64", "hex"] as const).map((form) => Buffer.from(cell).toString(form));
}
