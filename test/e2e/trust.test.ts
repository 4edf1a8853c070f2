import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatInvite } from "../../src/protocol/invite.ts";
import { Pin } from "../../src/protocol/pin.ts";
import * as v from "valibot";
import { findOpensslFault } from "../support/certificates.ts";
import { createIssuer, type Issued } from "../support/issued.ts";
import { openDirectory } from "../support/directory.ts";
import { type FakeServerOptions, openFakeServer } from "../support/fake-server.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);
const fault = findOpensslFault();
const test = testIf(fault === undefined, fault ?? "");

const testScreen = testIf(
  fault === undefined && hasTmux,
  "a terminal is tmux's, and a certificate openssl's",
);

/** Debian's store of authorities. */
const STORE = "/etc/ssl/certs/ca-certificates.crt";
const testApart = testIf(
  fault === undefined && existsSync(STORE) && Bun.spawnSync(["unshare", "-m", "true"]).success,
  "another store of authorities takes unshare(1), root, and a store to cover",
);

const directory = openDirectory();
const issue = createIssuer(directory.path);
let made: Record<"self" | "changed" | "renewed" | "expired" | "authority" | "good", Issued>;

beforeAll(() => {
  if (fault !== undefined) return;
  const self = issue("self");
  const authority = issue("authority", { isAuthority: true });
  made = {
    self,
    authority,
    changed: issue("self"),
    renewed: issue("self", { keyOf: self, names: "DNS:elsewhere" }),
    expired: issue("expired", { until: "2021-01-01" }),
    good: issue("good", { by: authority }),
  };
});
afterAll(() => directory[Symbol.dispose]());

const TOKEN = "fh_0123456789abcdef_secretsecretsecretsecretsecretsecretsecretsec";
const SECRET = "s".repeat(43);
const PASSWORD = "correct horse";

/** A server that lets in who has the token, and gives it for a password, and once for an invitation. */
async function setup(shown: Issued | undefined = made.self, options: FakeServerOptions = {}) {
  const world = openWorld();
  const told: unknown[] = [];
  let isInviting = true;
  const server = openFakeServer({
    tls: shown?.tls,
    token: TOKEN,
    async respond(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/healthz") return new Response("ok\n");
      if (request.method !== "POST") return undefined;
      const body = (await request.json()) as Record<string, unknown>;
      told.push(body);
      const isRight =
        pathname === "/v1/join"
          ? isInviting && body["secret"] === SECRET
          : body["user"] === "ann" && body["password"] === PASSWORD;
      if (!isRight) return Response.json({ code: "unauthenticated", message: "No" }, { status: 401 });
      if (pathname === "/v1/join") isInviting = false;
      return Response.json({ token: TOKEN, name: "ann-laptop", user: "ann", expires: 4_000_000_000_000 });
    },
    ...options,
  });
  const config = join(world.home, ".config", "farhand");
  const invite = (more: object = {}) =>
    formatInvite({
      name: "web1",
      urls: [server.url],
      pin: pinOf(shown ?? made.self),
      secret: SECRET,
      ...more,
    });
  const ping = (...args: string[]) => world.farhand([...args, "ping", "--count", "1", "--json"]);
  return {
    ...world,
    server,
    told,
    config,
    invite,
    ping,
    book: () => readFileSync(join(config, "hosts.json"), "utf8"),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

const pinOf = ({ pin }: Issued) => v.parse(Pin, pin);
const mode = (path: string) => statSync(path).mode & 0o777;

describe("farhand join", () => {
  test("keeps host, key and token in one step, and then the host is reached by its name", async () => {
    await using world = await setup();
    const joined = await world.farhand(["join", world.invite()]);
    expect(joined).toMatchObject({
      code: 0,
      stderr: "",
      stdout: `Joined web1 (${world.server.url}, known by ${made.self.pin}) as ann\n`,
    });
    expect(mode(join(world.config, "hosts.json"))).toBe(0o600);
    expect(mode(join(world.config, "tokens", "web1"))).toBe(0o600);
    expect(world.book()).not.toContain(TOKEN);
    expect((await world.ping("-H", "web1")).code).toBe(0);
    expect((await world.farhand(["ping", "--count", "1"], { env: { FARHAND_HOST: "web1" } })).code).toBe(0);
    const again = await world.farhand(["join", world.invite(), "--name", "web2"]);
    expect(again).toMatchObject({ code: 125, stdout: "" });
    expect(again.stderr).toContain("works once");
    expect(world.book()).not.toContain("web2");
  });

  test("takes the line from stdin, and the first address at which the server is", async () => {
    await using world = await setup();
    await using other = openFakeServer({ tls: made.changed.tls });
    const urls = ["https://127.0.0.1:1", other.url, world.server.url];
    const joined = await world.farhand(["join", "-", "--name", "lab", "--json"], {
      stdin: `${world.invite({ urls })}\n`,
    });
    expect(JSON.parse(joined.stdout)).toMatchObject({ name: "lab", user: "ann", token: "ann-laptop" });
    expect(joined.stdout).not.toContain(TOKEN);
    expect((await world.ping("-H", "lab")).code).toBe(0);
  });

  test("tells nobody its secret who has not the key that it names, and keeps nothing", async () => {
    await using world = await setup(made.changed);
    const joined = await world.farhand(["join", world.invite({ pin: pinOf(made.self) })]);
    expect(joined).toMatchObject({ code: 125, stdout: "" });
    expect(joined.stderr).toContain("KEY HAS CHANGED");
    expect(world.told).toEqual([]);
    expect((await world.farhand(["host", "list"])).stdout).toContain("No hosts");
  });

  test("tells nobody its secret at an address without TLS, where another has some: loopback is another machine here", async () => {
    await using world = await setup(made.self, { tls: undefined });
    const urls = ["https://127.0.0.1:1", world.server.url];
    for (const pin of [pinOf(made.self), undefined]) {
      const joined = await world.farhand(["join", world.invite({ urls, pin }), "--insecure"]);
      expect(joined).toMatchObject({ code: 125, stdout: "" });
      expect(joined.stderr).toContain("connection refused");
    }
    expect(world.told).toEqual([]);
  });

  test("asks for nothing that it could not keep", async () => {
    await using world = await setup();
    await world.farhand(["host", "add", "web1", "web1.lab", "--pin", made.self.pin]);
    expect((await world.farhand(["join", world.invite()])).stderr).toContain('there is one called "web1"');
    chmodSync(world.config, 0o755);
    expect((await world.farhand(["join", world.invite(), "--name", "b"])).stderr).toContain("chmod 700");
    expect(world.told).toEqual([]);
  });

  test("keeps nothing of a server that answers nonsense", async () => {
    for (const answer of [
      "",
      "{}",
      '{"token":"a b","name":"x","user":"y"}',
      '{"token":"t","name":"x","user":"y\\nJoined web1"}',
      `{"token":"${"x".repeat(100_000)}","name":"x","user":"y"}`,
      '{"token":"t","name":"x","user":"y","expires":1e300}',
    ]) {
      const respond = (request: Request) =>
        request.method === "POST" ? new Response(answer) : new Response("ok\n");
      await using world = await setup(made.self, { respond });
      expect((await world.farhand(["join", world.invite()])).stderr).toContain("gives no token");
      expect(await world.farhand(["host", "list"])).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("No hosts"),
      });
    }
  });
});

describe("farhand login", () => {
  test("trades a password for a token, and logout forgets it", async () => {
    await using world = await setup();
    await world.farhand(["host", "add", "web1", world.server.url, "--pin", made.self.pin]);
    expect((await world.ping("-H", "web1")).stdout).toContain("farhand login web1");
    const wrong = await world.farhand(["login", "web1", "--user", "ann"], { stdin: "wrong\n" });
    expect(wrong).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("the user or the password is wrong"),
    });
    const right = await world.farhand(["login", "web1", "--user", "ann"], { stdin: `${PASSWORD}\n` });
    expect(right).toMatchObject({ code: 0, stdout: "Logged in at web1 as ann, until 2096-10-02T07:06Z\n" });
    expect((await world.ping("-H", "web1")).code).toBe(0);
    expect((await world.farhand(["-H", "web1", "login"], { stdin: PASSWORD })).code).toBe(0);
    expect((await world.farhand(["logout", "web1"])).stdout).toBe("Forgot the token for web1\n");
    expect((await world.ping("-H", "web1")).code).toBe(125);
    expect((await world.farhand(["login", "web2"], { stdin: "x" })).stderr).toContain(
      "farhand host add web2 ADDRESS",
    );
  });

  testScreen("asks for the password without showing it", async () => {
    await using world = await setup();
    await world.farhand(["host", "add", "web1", world.server.url, "--pin", made.self.pin]);
    await using screen = await openScreen(world, "farhand login web1 --user ann");
    await screen.shows("Password of ann at web1:");
    await screen.type("wrnog");
    await screen.press("C-u");
    await screen.type(`${PASSWORD}é`);
    await screen.press("BSpace", "Enter");
    await screen.shows("[ended 0]");
    expect(await screen.shown()).toContain("Logged in at web1 as ann");
    expect(await screen.shown()).not.toContain("correct");
    expect(world.told).toMatchObject([{ user: "ann", password: PASSWORD }]);
    await using stopped = await openScreen(world, "farhand login web1; stty -a");
    await stopped.shows("Password of");
    await stopped.press("C-c");
    await stopped.shows("[ended 0]");
    expect(await stopped.shown()).toMatch(/ icanon.* echo /s);
  });
});

describe("farhand host add", () => {
  testScreen("shows the fingerprint and asks", async () => {
    await using world = await setup();
    const add = `farhand host add web1 ${world.server.url}`;
    for (const [answer, code] of [
      ["no", 125],
      ["", 125],
      ["yes please", 125],
      ["yes", 0],
    ] as const) {
      await using screen = await openScreen(world, `clear; ${add}`, { columns: 150 });
      await screen.shows("or the fingerprint)?");
      const shown = await screen.shown();
      for (const part of [made.self.pin, "localhost, 127.0.0.1", "2020-01-01 to 2099-01-01", "self-signed"])
        expect(shown).toContain(part);
      await screen.type(answer);
      await screen.press("Enter");
      await screen.shows(`[ended ${code}]`);
    }
    await using screen = await openScreen(world, `${add} --replace`, { columns: 150 });
    await screen.shows("or the fingerprint)?");
    await screen.paste(made.self.pin);
    await screen.press("Enter");
    await screen.shows("[ended 0]");
    writeFileSync(join(world.config, "tokens", "web1"), TOKEN, { mode: 0o600 });
    expect((await world.ping("-H", "web1")).code).toBe(0);
  });

  test("fails where nobody can be asked, and where the certificate is no question", async () => {
    await using world = await setup();
    const refused = await world.farhand(["host", "add", "web1", world.server.url], { stdin: "yes\n" });
    expect(refused).toMatchObject({ code: 125, stdout: "" });
    expect(refused.stderr).toContain(`add --pin ${made.self.pin}`);
    await using expired = await setup(made.expired);
    const old = await expired.farhand(["host", "add", "web1", expired.server.url], { stdin: "yes\n" });
    expect(old.stderr).toContain("expired on 2021-01-01");
    expect((await world.farhand(["host", "list"])).stdout).toContain("No hosts");
  });

  testApart("asks nothing where this machine's authorities vouch for it, under its name", async () => {
    await using world = await setup(made.good);
    /** With a store of one authority of ours. */
    const run = (line: string) => {
      const mount = `mount --bind ${made.authority.cert} ${STORE}`;
      return world.shell(`unshare -m sh -c '${mount}; ${line}'`, { env: { FARHAND_TOKEN: TOKEN } });
    };
    const { port } = world.server;
    const add = `farhand host add web1 https://localhost:${port}`;
    expect((await world.shell(add)).stderr).toContain("no authority that this machine trusts");
    expect(await run(add)).toMatchObject({ code: 0, stdout: expect.stringContaining("this machine") });
    expect((await run("farhand -H web1 ping --count 1")).code).toBe(0);
    expect((await world.ping("-H", "web1")).stdout).toContain("no authority that this machine trusts");
    const other = await run(`farhand host add web2 https://127.0.0.2:${port} --connect-timeout 1s`);
    expect(other.stderr).toContain("127.0.0.2");
    expect(other.code).toBe(125);
  });

  test("takes a pin, an authority, a token, and names what it is told wrong", async () => {
    await using world = await setup(made.good);
    const { url } = world.server;
    const token = join(world.home, "token");
    writeFileSync(token, `${TOKEN}\n`, { mode: 0o600 });
    const add = (...args: string[]) => world.farhand(["host", "add", ...args]);
    await add("a", url, "--pin", made.good.pin, "--token-file", token);
    await add("b", url, "--ca", made.authority.cert, "--token-file", token);
    for (const name of ["a", "b"]) expect((await world.ping("-H", name)).code).toBe(0);
    const list = await world.farhand(["host", "list"]);
    expect(list.stdout).toMatch(
      /^NAME +ADDRESS +TOKEN +KNOWN BY\na +\S+ +yes +sha256:.*\nb +\S+ +yes +the authorities in/,
    );
    expect((await world.farhand(["host", "show", "a"])).stdout).toContain("valid to 2099-01-01");
    expect((await world.farhand(["host", "remove", "a", "b"])).stdout).toBe("Removed a, b\n");
    expect((await add("a b", url)).stderr).toContain('Cannot call a host "a b"');
    expect((await add("../a", url)).stderr).toContain("Cannot call a host");
    expect((await add("localhost", url)).stderr).toContain("that is an address");
    expect((await add("a", "127.0.0.1:9", "--pin", made.good.pin)).stderr).toContain("it has no TLS");
    expect((await add("a", url, "--pin", "sha256:x")).stderr).toContain("is no fingerprint");
    expect((await add("a", "https://user:hunter2@web1")).stderr).not.toContain("hunter2");
  });

  test("loses nothing to other clients at the same time", async () => {
    await using world = await setup();
    const names = Array.from({ length: 12 }, (_, index) => `host${index}`);
    const added = await Promise.all(
      names.map((name) => world.farhand(["host", "add", name, `${name}.lab`, "--pin", made.self.pin])),
    );
    expect(added.map(({ code }) => code)).toEqual(names.map(() => 0));
    const { hosts } = JSON.parse((await world.farhand(["host", "list", "--json"])).stdout);
    expect(hosts.map(({ name }: { name: string }) => name)).toEqual(names.toSorted());
  });
});

describe("A server that is known by its key", () => {
  test("is trusted with another certificate of it, which is kept, and with another key refused loudly", async () => {
    await using world = await setup();
    await world.farhand(["join", world.invite()]);
    expect(world.book()).toContain(JSON.stringify(made.self.tls.cert).slice(1, 200));
    await world.server[Symbol.asyncDispose]();
    const { port } = world.server;
    {
      await using _renewed = openFakeServer({ port, tls: made.renewed.tls, token: TOKEN });
      expect((await world.ping("-H", "web1")).code).toBe(0);
      expect(world.book()).toContain(JSON.stringify(made.renewed.tls.cert).slice(1, 200));
    }
    const heard: string[] = [];
    const respond = (request: Request) => void heard.push(request.url);
    await using _changed = openFakeServer({ port, tls: made.changed.tls, respond: respond as never });
    const { code, stdout, stderr } = await world.farhand(["-H", "web1", "exec", "--", "true"]);
    expect({ code, stdout, heard }).toEqual({ code: 125, stdout: "", heard: [] });
    const lines = stderr.trimEnd().split("\n");
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(line).toStartWith("farhand: ");
    for (const part of ["KEY HAS CHANGED", made.self.pin, made.changed.pin]) expect(stderr).toContain(part);
  });

  test("is verified whatever the environment says", async () => {
    await using world = await setup(made.good);
    const env = {
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      SSL_CERT_FILE: made.authority.cert,
      SSL_CERT_DIR: directory.path,
      NODE_EXTRA_CA_CERTS: made.authority.cert,
      NODE_USE_SYSTEM_CA: "1",
      FARHAND_TOKEN: TOKEN,
    };
    const url = world.server.url;
    const ping = ["-H", url, "ping", "--count", "1"];
    const refused = await world.farhand(ping, { env });
    expect(refused).toMatchObject({ code: 125, stdout: "" });
    expect(refused.stderr).toContain("no authority that this machine trusts vouches for its certificate");
    expect(world.server.peers).toHaveLength(0);
    const named = { ...env, FARHAND_CA: made.authority.cert };
    // Nor does the runtime say that something of it counts.
    expect(refused.stderr).not.toContain("NODE_TLS");
    expect(await world.farhand(ping, { env: named })).toMatchObject({ code: 0, stderr: "" });
    expect((await world.farhand(["--ca", made.authority.cert, ...ping], { env })).code).toBe(0);
    expect((await world.farhand(["--ca", made.self.cert, ...ping], { env: named })).stderr).toContain(
      made.self.cert,
    );
    expect((await world.farhand(["--ca", "/none", ...ping], { env })).stderr).toContain(
      'Cannot read the authorities in "/none"',
    );
  });
});

describe("A token is taken", () => {
  test("from a file of one's own, a descriptor, stdin, the environment, or what is kept, in this order", async () => {
    await using world = await setup();
    await world.farhand(["join", world.invite()]);
    const file = join(world.home, "token");
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    const wrong = { FARHAND_TOKEN: "wrong" };
    const ping = ["-H", "web1", "ping", "--count", "1"];
    const run = (args: readonly string[], stdin?: string) =>
      world.farhand([...args, ...ping], { env: wrong, stdin });
    expect((await run([])).stderr).toContain("it refuses the token");
    expect((await run(["--token-file", file])).code).toBe(0);
    expect((await run(["--token-stdin"], `${TOKEN}\n`)).code).toBe(0);
    expect((await run(["--token-fd", "0"], TOKEN)).code).toBe(0);
    const descriptor = await world.shell(`farhand --token-fd 7 ${ping.join(" ")} 7<${file}`, { env: wrong });
    expect(descriptor.code).toBe(0);
    expect((await world.farhand(ping)).code).toBe(0);
    chmodSync(file, 0o640);
    expect((await run(["--token-file", file])).stderr).toContain(`run chmod 600 '${file}'`);
    for (const [args, sentence] of [
      [["--token-file", file, "--token-stdin"], "give one of them"],
      [["--token-fd", "1"], "from 3 on"],
      [["--token-fd", "99"], "descriptor 99"],
      [["--token-file", join(world.home, "none")], "Cannot read a token"],
      [["--token-stdin"], "there is none"],
    ] as const)
      expect((await run(args, "")).stderr).toContain(sentence);
    const spaces = await run(["--token-stdin"], `${TOKEN} and more`);
    expect(spaces.stderr).toContain("write it alone");
    expect(spaces.stderr).not.toContain(TOKEN);
  });

  test("by a client whose arguments and files others may see, without being there", async () => {
    await using world = await setup();
    await world.farhand(["join", world.invite()]);
    const { server, config } = world;
    await server[Symbol.asyncDispose]();
    const client = world.open([
      "farhand",
      "-H",
      "web1",
      "--log-level",
      "debug",
      "--connect-timeout",
      "2s",
      "ping",
    ]);
    const fd = openSync(`/proc/${client.pid}/cmdline`, "r");
    expect(readFileSync(fd, "utf8")).not.toContain(TOKEN);
    const { stdout, stderr } = await client.ran;
    for (const text of [stdout, stderr, readFileSync(join(config, "hosts.json"), "utf8")])
      expect(text).not.toContain(TOKEN);
  });
});

describe("Without TLS", () => {
  test("an address beyond this machine is refused, unless that is asked for, which is warned of once", async () => {
    await using world = await setup();
    const away = "http://192.0.2.1:9";
    const ping = ["-H", away, "--connect-timeout", "300ms", "ping", "--count", "1"];
    expect((await world.farhand(ping)).stderr).toContain("--insecure");
    const warning = `farhand: warning: ${away} has no TLS: everybody on the way reads the token and everything else\n`;
    const insecure = await world.farhand(["--insecure", ...ping]);
    expect(insecure.stderr.split(warning)).toHaveLength(2);
    const added = await world.farhand(["host", "add", "dev", away, "--insecure"]);
    expect(added).toMatchObject({ code: 0, stderr: warning });
    const kept = await world.farhand(["-H", "dev", "--connect-timeout", "300ms", "ping", "--count", "1"]);
    expect(kept.stderr).toStartWith(warning);
    const login = ["login", "dev", "--user", "ann", "--connect-timeout", "300ms"];
    expect((await world.farhand(login, { stdin: PASSWORD })).stderr).toStartWith(warning);
    expect((await world.farhand(["join", world.invite({ urls: [away], pin: undefined })])).stderr).toContain(
      "--insecure",
    );
  });

  test("a server on this machine needs none of that", async () => {
    await using world = openWorld();
    await world.start();
    const { url, token } = world.local();
    const ran = await world.farhand(["-H", url, "exec", "--", "echo", "here"], {
      env: { FARHAND_TOKEN: token },
    });
    expect(ran).toMatchObject({ code: 0, stdout: "here\n", stderr: "" });
  });
});
