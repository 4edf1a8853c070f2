import { describe, expect, setDefaultTimeout } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "../../src/client/pool.ts";
import { parseInvite } from "../../src/protocol/invite.ts";
import { createCertificates, findOpensslFault } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);
const fault = findOpensslFault();
const test = testIf(fault === undefined, fault ?? "");

const testScreen = testIf(fault === undefined && hasTmux, "a terminal is tmux's");

const PASSWORD = "correct horse battery staple";

/** A server on every address, a client that is another user's as far as it knows, and what it takes to invite that. */
async function setup(...args: string[]) {
  const server = openWorld();
  const client = openWorld();
  const status = await server.start("--listen", "0.0.0.0:0", ...args);
  const [, port = ""] = /:(\d+)$/.exec(status.listen[0] ?? "") ?? [];
  const url = `https://127.0.0.1:${port}`;
  const invite = async (...more: string[]) => {
    const ran = await server.farhandd(["invite", "--url", url, "--name", "web1", "--user", "ann", ...more]);
    if (ran.code !== 0) throw new Error(ran.stderr);
    return ran.stdout.trim();
  };
  return {
    server,
    client,
    url,
    port,
    invite,
    /** As the client that has joined. */
    web1: (...args: string[]) => client.farhand(["-H", "web1", ...args]),
    addUser: (...more: string[]) =>
      server.farhandd(["user", "add", "ann", "--password-stdin", ...more], { stdin: `${PASSWORD}\n` }),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const fingerprint = async (world: World) => (await world.farhandd(["fingerprint"])).stdout.trim();

describe("A client reaches a server over the network", () => {
  test("by an invitation, over a restart of it and another certificate of its key", async () => {
    await using world = await setup();
    const { server, client, web1 } = world;
    const line = await world.invite();
    expect(parseInvite(line).pin as string).toBe(await fingerprint(server));
    expect(await client.farhand(["join", line])).toMatchObject({ code: 0, stderr: "" });
    expect(await web1("exec", "--", "echo", "here")).toMatchObject({ code: 0, stdout: "here\n", stderr: "" });
    const book = () => readFileSync(join(client.home, ".config/farhand/hosts.json"), "utf8");
    const before = book();
    await server.farhandd(["stop"]);
    await server.start("--listen", `0.0.0.0:${world.port}`, "--name", "another.example");
    expect(await web1("exec", "--", "echo", "again")).toMatchObject({ code: 0, stdout: "again\n" });
    expect(book()).not.toBe(before);
    expect((await web1("host", "show", "web1")).stdout).toContain("another.example");
  });

  test("and refuses one of another key in its place", async () => {
    await using world = await setup();
    await world.client.farhand(["join", await world.invite()]);
    const expected = await fingerprint(world.server);
    await world.server.farhandd(["stop"]);
    await using other = openWorld();
    await other.start("--listen", `0.0.0.0:${world.port}`);
    const { code, stdout, stderr } = await world.web1("exec", "--", "echo", "here");
    expect([code, stdout]).toEqual([125, ""]);
    for (const part of ["KEY HAS CHANGED", expected, await fingerprint(other)])
      expect(stderr).toContain(part);
  });

  test("by a password, with a user's roles", async () => {
    await using world = await setup();
    await world.addUser("--role", "viewer");
    await world.client.farhand(["host", "add", "web1", world.url, "--pin", await fingerprint(world.server)]);
    const login = (stdin: string) => world.client.farhand(["login", "web1", "--user", "ann"], { stdin });
    expect((await login("wrong")).stderr).toContain("the user or the password is wrong");
    expect(await login(PASSWORD)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("as ann, until"),
    });
    expect((await world.web1("jobs")).code).toBe(0);
    expect((await world.web1("exec", "--", "true")).stderr).toContain("exec");
  });

  test("that has a certificate of an authority's, without a pin, as long as it trusts that", async () => {
    await using scratch = openWorld();
    const create = createCertificates(scratch.home);
    const authority = create("authority", { isAuthority: true });
    const shown = create("server", { by: authority });
    const own = create("client", { by: authority, names: "DNS:client" });
    const options = ["--cert", shown.cert, "--key", shown.key, "--client-ca", authority.cert];
    await using world = await setup(...options);
    const line = await world.invite();
    expect(parseInvite(line).pin).toBeUndefined();
    const ca = ["--ca", authority.cert];
    const mine = ["--client-cert", own.cert, "--client-key", own.key];
    const join = (...args: string[]) => world.client.farhand([...args, "join", line]);
    expect((await join(...mine)).stderr).toContain("--ca");
    expect((await join(...ca)).stderr).toContain("--client-cert");
    expect(await join(...ca, ...mine)).toMatchObject({ code: 0, stderr: "" });
    expect(await world.web1("exec", "--", "echo", "here")).toMatchObject({ code: 0, stdout: "here\n" });
  });

  testScreen("and is asked for a password at a prompt of the console as elsewhere", async () => {
    await using world = await setup();
    await world.addUser("--role", "viewer");
    await world.client.farhand(["join", await world.invite()]);
    await using screen = await openScreen(world.client, "farhand -H web1 console");
    await screen.shows(/^web1.*>/m);
    await screen.type("login web1 --user ann");
    await screen.press("Enter");
    await screen.shows("Password of ann at web1:");
    await screen.type(PASSWORD);
    await screen.press("Enter");
    await screen.shows("Logged in at web1 as ann");
    await screen.type("user-name");
    await screen.press("Enter");
    await screen.shows(/^web1.*> user-name\n\S+\n/m);
    expect(await screen.shown()).not.toContain(PASSWORD);
  });

  test("with a token from stdin, which leaves a job nothing there", async () => {
    await using world = await setup();
    await world.client.farhand(["join", await world.invite()]);
    const made = await world.server.farhandd(["token", "create", "script", "--role", "operator"]);
    const ran = await world.client.farhand(["-H", "web1", "--token-stdin", "exec", "--", "wc", "-c"], {
      stdin: made.stdout,
      env: { FARHAND_TOKEN: "wrong" },
    });
    expect(ran).toMatchObject({ code: 0, stdout: "0\n", stderr: "" });
  });

  test("by a Unix socket, with the token of this start and without being told where", async () => {
    await using world = openWorld();
    const socket = join(world.home, "farhandd.sock");
    await world.start("--listen", `unix:${socket}`);
    for (const host of [[], ["-H", `unix:${socket}`]])
      expect(await world.farhand([...host, "exec", "--", "echo", "here"])).toMatchObject({
        code: 0,
        stdout: "here\n",
      });
  });
});

describe("A token that is revoked", () => {
  test("ends what runs over it with unauthenticated, and nobody tries again", async () => {
    await using world = await setup();
    await world.client.farhand(["join", await world.invite()]);
    const following = world.client.open([
      "farhand",
      "-H",
      "web1",
      "exec",
      "--",
      "sh",
      "-c",
      "echo up; sleep 300",
    ]);
    await eventually(() => following.said() === "up\n");
    const tokens = JSON.parse((await world.server.farhandd(["token", "list", "--json"])).stdout);
    const start = performance.now();
    await world.server.farhandd(["token", "revoke", tokens[0].name]);
    const { code, stderr } = await following.ran;
    expect(code).toBe(125);
    expect(stderr).toContain("token");
    // Five seconds are promised for the server; a client that went on trying would take two minutes.
    expect(performance.now() - start).toBeLessThan(50_000);
    const after = await world.web1("--connect-timeout", "20s", "ping");
    expect(after).toMatchObject({ code: 125, stderr: expect.stringContaining("farhand login web1") });
  });
});

describe("pool.add()", () => {
  test("takes user and password with a pin, and trades them again for a token that was revoked", async () => {
    await using world = await setup();
    await world.addUser("--role", "admin");
    await using pool = new Pool({ FARHAND_CONFIG_HOME: world.client.home });
    const pin = await fingerprint(world.server);
    const member = pool.add(world.url, { user: "ann", password: PASSWORD, pin });
    const first = await member.connect();
    expect(new TextDecoder().decode((await first.exec(["echo", "here"])).stdout)).toBe("here\n");
    const tokens = JSON.parse((await world.server.farhandd(["token", "list", "--json"])).stdout);
    await world.server.farhandd(["token", "revoke", tokens[0].name]);
    await eventually(() => first.ended.aborted);
    expect(first.ended.reason).toMatchObject({ code: "unauthenticated" });
    expect(await (await member.connect()).heartbeat()).toBe(true);
    const wrong = pool.add(world.url, { user: "ann", password: "wrong", pin, workspace: "other" });
    await expect(wrong.connect()).rejects.toMatchObject({ code: "unauthenticated" });
    const changed = pool.add(world.url, {
      token: "fh_x",
      pin: `sha256:${"A".repeat(43)}`,
      workspace: "third",
    });
    await expect(changed.connect()).rejects.toMatchObject({ code: "untrusted" });
  });

  test("takes the name of a kept host, with its token", async () => {
    await using world = await setup();
    await world.client.farhand(["join", await world.invite()]);
    await using pool = new Pool({ FARHAND_CONFIG_HOME: join(world.client.home, ".config/farhand") });
    const member = pool.add("web1");
    expect(member.url).toBe(world.url);
    expect(pool.add(world.url)).toBe(member);
    expect(await (await member.connect()).heartbeat()).toBe(true);
  });
});
