import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup(listen = "127.0.0.1:0") {
  const world = openWorld();
  const status = await world.start("--listen", listen);
  const port = /:(\d+)$/.exec(status.listen[0] ?? "")?.[1] ?? "";
  const env = { FARHAND_TOKEN: world.local().token };
  const echo = (host: string) => world.farhand(["-H", host, "exec", "--", "echo", "here"], { env });
  /** The same where a command has changed what the system knows: names, or routes. */
  const echoWhere = (unshared: string, change: string, host: string) =>
    world.shell(`unshare ${unshared} sh -c '${change}; exec farhand -H "${host}" exec -- echo here'`, {
      env,
    });
  /** The same with another /etc/hosts, and name servers that do not answer. */
  const echoKnowing = (hosts: string, host: string) => {
    writeFileSync(join(world.home, "hosts"), hosts);
    writeFileSync(join(world.home, "resolv"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    return echoWhere("-m", "mount --bind hosts /etc/hosts; mount --bind resolv /etc/resolv.conf", host);
  };
  return { ...world, port, echo, echoWhere, echoKnowing };
}

const here = { code: 0, stdout: "here\n", stderr: "" };
const fails = (sentence: string) => ({ code: 125, stdout: "", stderr: `farhand: ${sentence}\n` });

function canUnshare(): boolean {
  return process.platform === "linux" && Bun.spawnSync(["unshare", "-mn", "true"]).success;
}

const testApart = testIf(canUnshare(), "names and routes of its own: it takes unshare(1) and root");

describe("The client reaches a server", () => {
  test.each([
    ["127.0.0.1:0", ["127.0.0.1:PORT", "localhost:PORT", "http://127.0.0.1:PORT/", "ws://localhost:PORT"]],
    ["127.0.0.1:0", ["[::ffff:127.0.0.1]:PORT", "http://[::ffff:7f00:1]:PORT"]],
    ["[::1]:0", ["[::1]:PORT", "localhost:PORT", "http://[0:0:0:0:0:0:0:1]:PORT", "ws://[::1]:PORT/"]],
  ])("on %s as %j", async (listen, hosts) => {
    await using world = await setup(listen);
    for (const host of hosts)
      expect(await world.echo(host.replace("PORT", world.port))).toEqual({ ...here, signal: null });
  });

  testApart.each(["::1 localhost\n", "::1 localhost\n127.0.0.1 localhost\n"])(
    "on 127.0.0.1 alone as localhost where that is %j",
    async (hosts) => {
      await using world = await setup();
      expect(await world.echoKnowing(hosts, `localhost:${world.port}`)).toMatchObject(here);
    },
  );
});

describe("One sentence says why a server cannot be reached", () => {
  test("when nobody listens", async () => {
    await using world = await setup();
    for (const host of ["127.0.0.1:1", "[::1]:1", "localhost:1"]) {
      const sentence = `Cannot connect to http://${host}: connection refused; is farhandd running there?`;
      expect(await world.echo(host)).toMatchObject(fails(sentence));
    }
  });

  test("when the address is of no use here", async () => {
    await using world = await setup();
    for (const host of ["fe80::1%lo", `[fe80::1%lo]:${world.port}`, `https://[fe80::1%25lo]:${world.port}`]) {
      const sentence = `Cannot use host "${host}": no address with a zone (%) can be used; write the machine's name or another address`;
      expect(await world.echo(host)).toMatchObject(fails(sentence));
    }
    const url = `https://[fe80::1]:${world.port}`;
    expect(await world.echo(url)).toMatchObject(
      fails(`Cannot connect to ${url}: this machine cannot reach such an address`),
    );
  });

  test("when it does not speak TLS", async () => {
    await using world = await setup();
    const url = `https://127.0.0.1:${world.port}`;
    expect(await world.echo(url)).toMatchObject(
      fails(
        `Cannot connect to ${url}: what answers there does not speak TLS; write http://127.0.0.1:${world.port}`,
      ),
    );
  });

  testApart("when no name server knows the name, or none answers", async () => {
    await using world = await setup();
    expect(await world.echoKnowing("127.0.0.1 localhost\n", "nosuch.example")).toMatchObject(
      fails("Cannot connect to https://nosuch.example:9922: no machine of that name is known"),
    );
  });

  testApart("when there is no route", async () => {
    await using world = await setup();
    const why = {
      "https://192.0.2.1": "there is no route to it",
      "https://[2001:db8::1]:5": "this machine cannot reach such an address",
    };
    for (const [url, reason] of Object.entries(why)) {
      expect(await world.echoWhere("-n", "true", url)).toMatchObject(
        fails(`Cannot connect to ${url}: ${reason}`),
      );
    }
  });
});
