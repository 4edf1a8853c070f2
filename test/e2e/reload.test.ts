import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { decodeData } from "../../src/protocol/data.ts";
import { decodeRecords, toPacket } from "../../src/protocol/packet.ts";
import { type CertificateFiles, createCertificates, findOpensslFault } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const opensslFault = findOpensslFault();
const testWithFiles = testIf(opensslFault === undefined, `certificates that are replaced: ${opensslFault}`);

/** A server with an operator's certificate, which can be replaced. */
async function setup() {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  const make = createCertificates(world.home);
  const [cert, key] = [at("used.pem"), at("used.key")];
  const use = (files: CertificateFiles) => {
    copyFileSync(files.cert, cert);
    copyFileSync(files.key, key);
  };
  const config = at("farhandd.toml");
  const configure = (more = "") =>
    writeFileSync(
      config,
      `${more}\nlisten = ["0.0.0.0:0", "127.0.0.1:0"]\ntls = { cert = "${cert}", key = "${key}" }\n`,
    );
  const first = make("first");
  use(first);
  configure();
  const started = await world.start("--config", config);
  const port = Number(/:(\d+)$/.exec(started.listen[0] ?? "")?.[1]);
  const reload = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhandd(["reload", ...args]);
    return { code, said: stdout + stderr };
  };
  return { ...world, at, make, cert, key, use, first, configure, started, port, reload };
}

/** Whose certificate is shown to whoever connects now; who comes while listeners change tries again, as clients do. */
async function shown(port: number): Promise<string> {
  let name: string | undefined;
  await eventually(async () => (name = await shake(port).catch(() => undefined)) !== undefined);
  return String(name);
}

function shake(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.end();
    });
    socket.on("error", reject);
  });
}

describe("reload", () => {
  testWithFiles(
    "twenty times shows newcomers the new certificate each time, and a job that streams to others loses nothing",
    async () => {
      await using world = await setup();
      const target = {
        url: `https://127.0.0.1:${world.port}`,
        token: world.local().token,
        certificate: readFileSync(world.first.cert, "utf8"),
      };
      using client = await RawClient.open(target);
      const script = "i=0; while [ ! -e go ]; do i=$((i+1)); echo $i; sleep 0.005; done; echo end";
      const output = { channel: 1, holder: crypto.randomUUID(), limit: 100_000_000 };
      client.call(1, "exec", { shell: script }, { job: crypto.randomUUID(), output });
      await client.control("accepted");
      const others = [world.make("second"), world.first];
      for (let turn = 0; turn < 20; turn++) {
        world.use(others[turn % 2] as CertificateFiles);
        expect(await world.reload()).toMatchObject({
          code: 0,
          said: expect.stringContaining("certificate: sha256:"),
        });
        expect(await shown(world.port)).toBe(turn % 2 === 0 ? "second" : "first");
      }
      writeFileSync(world.at("go"), "");
      const text = () =>
        client.received
          .flatMap((received) =>
            received.type === "data"
              ? [...decodeRecords(decodeData(received.bytes).bytes)].map(toPacket)
              : [],
          )
          .map((packet) => (packet?.type === "stdout" ? Buffer.from(packet.bytes).toString() : ""))
          .join("");
      await eventually(() => text().endsWith("end\n"));
      // The connection is still the one from before all that.
      client.call(2, "ping");
      expect(await client.control("result")).toMatchObject({ call: 2 });
      const lines = text().trimEnd().split("\n");
      expect(lines.length).toBeGreaterThan(20);
      expect(lines).toEqual([
        ...Array.from({ length: lines.length - 1 }, (_, index) => String(index + 1)),
        "end",
      ]);
      expect((await world.status()).pid).toBe(world.started.pid);
      // It ends as any other.
      expect((await world.farhandd(["stop"])).code).toBe(0);
      expect(await client.ended).toMatchObject({ type: "closed", code: 1012 });
    },
  );

  testWithFiles("says what is new, what is not, and keeps what it cannot replace", async () => {
    await using world = await setup();
    expect(await world.reload()).toEqual({
      code: 0,
      said: expect.stringMatching(/^unchanged: configuration, certificate(, \S+)*\n$/),
    });
    const before = readFileSync(world.cert);
    for (const [spoil, why] of [
      [() => rmSync(world.cert), "there is no such file"],
      [() => writeFileSync(world.cert, ""), "it is empty"],
      [() => copyFileSync(world.make("other").cert, world.cert), "is another's"],
      [() => world.use(world.make("expired", { days: [-9, -1] })), "has expired"],
    ] as const) {
      spoil();
      const { code, said } = await world.reload();
      expect([code, said]).toEqual([
        1,
        expect.stringContaining("certificate: as before, because it failed: Cannot use certificate"),
      ]);
      expect(said).toContain(why);
      expect(await shown(world.port)).toBe("first");
      copyFileSync(world.first.key, world.key);
      writeFileSync(world.cert, before);
    }
    const json = await world.reload("--json");
    expect(JSON.parse(json.said)).toMatchObject({ changed: [], failed: [] });
    expect(await world.status()).toMatchObject({ pid: world.started.pid, tls: world.started.tls });
  });

  testWithFiles("reads the configuration: what can change does, and the rest is named", async () => {
    await using world = await setup();
    const ask = async () =>
      (await fetch(`${world.local().url}/healthz`, { headers: { host: "told.lab" } })).status;
    expect(await ask()).toBe(403);
    world.configure('name = "told.lab"');
    expect((await world.reload()).said).toContain("configuration: read\n");
    expect(await ask()).toBe(200);
    world.configure('log.level = "debug"');
    expect((await world.reload()).said).toContain(
      "configuration: read; what it says of log.level counts from the next start on",
    );
    expect(await ask()).toBe(403);
    world.configure("colour = 7");
    world.use(world.make("second"));
    const { code, said } = await world.reload();
    expect([code, said]).toEqual([
      1,
      expect.stringContaining("configuration: as before, because it failed: Cannot read"),
    ]);
    // The certificate is the more urgent for it.
    expect(await shown(world.port)).toBe("second");
  });

  test("without a server says so", async () => {
    await using world = openWorld();
    const { code, stdout, stderr } = await world.farhandd(["reload"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toBe(
      `farhandd: Cannot reload: no farhandd answers for state directory "${world.state}"\n`,
    );
  });

  test("of a server on loopback alone reads the configuration", async () => {
    await using world = openWorld();
    await world.start();
    const { code, stdout } = await world.farhandd(["reload"]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^unchanged: configuration(, \S+)*\n$/)]);
  });
});

describe("SIGHUP", () => {
  testWithFiles("makes a server in the background reload", async () => {
    await using world = await setup();
    world.use(world.make("second"));
    process.kill(world.started.pid, "SIGHUP");
    await eventually(async () => (await shown(world.port)) === "second");
    rmSync(world.cert);
    process.kill(world.started.pid, "SIGHUP");
    const log = () => readFileSync(join(world.state, "logs", "server.log"), "utf8");
    await eventually(() => log().includes("not reloaded"));
    expect(log()).toContain("there is no such file");
    expect(await shown(world.port)).toBe("second");
  });

  test("makes a server in the foreground without a terminal reload, as under a service manager", async () => {
    await using world = openWorld();
    const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    await eventually(() => existsSync(join(world.state, "local.json")));
    server.kill("SIGHUP");
    const log = join(world.state, "logs", "server.log");
    await eventually(() => readFileSync(log, "utf8").includes("reloaded"));
    server.kill("SIGTERM");
    expect(await server.ran).toMatchObject({ code: 0 });
  });

  testIf(hasTmux, "a terminal that hangs up: there is no tmux(1)")(
    "ends a server that was started on a terminal, when that hangs up",
    async () => {
      await using world = openWorld();
      const screen = await openScreen(world, "farhandd serve --listen 127.0.0.1:0");
      await screen.shows("listening");
      const { pid } = await world.status();
      await screen[Symbol.asyncDispose]();
      await eventually(() => !isRunning(pid));
      expect(existsSync(join(world.state, "local.json"))).toBe(false);
    },
  );
});
