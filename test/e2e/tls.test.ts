import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { ServerStatus } from "../../src/server/app.ts";
import { FARHAND } from "../support/built.ts";
import { type CertificateFiles, createCertificates, findOpensslFault } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { findNetworkFault, openNetwork } from "../support/network.ts";
import { RawClient } from "../support/raw.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

const opensslFault = findOpensslFault();
const curlFault = opensslFault ?? (Bun.which("curl") === null ? "there is no curl(1)" : undefined);
const testWithOpenssl = testIf(opensslFault === undefined, `others' opinion of our TLS: ${opensslFault}`);
const testWithCurl = testIf(curlFault === undefined, `another client of our TLS: ${curlFault}`);
const networkFault = curlFault ?? findNetworkFault();

function setup(options: { readonly inside?: readonly string[] } = {}) {
  const world = openWorld(options);
  const at = (name: string) => join(world.home, name);
  return { ...world, at, make: createCertificates(world.home), own: join(world.state, "tls", "cert.pem") };
}

/** The port of the n-th address that a server listens on. */
function portOf({ listen }: { readonly listen: readonly string[] }, index = 0): number {
  return Number(/:(\d+)$/.exec(listen[index] ?? "")?.[1]);
}

/** What curl answers: the status, or its own exit code and reason. */
async function curl(world: World, ...args: string[]): Promise<string> {
  const argv = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", ...args];
  const { code, stdout, stderr } = await world.open(argv).ran;
  return code === 0 ? stdout : `${code}: ${stderr.trim()}`;
}

/** What openssl says of a handshake. */
async function shake(world: World, port: number, ...args: string[]): Promise<string> {
  const argv = ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, ...args];
  const { stdout, stderr } = await world.open(argv).ran;
  return stdout + stderr;
}

describe("A server beyond loopback", () => {
  testWithCurl(
    "makes a key and a certificate at its first start, and is known by that key from then on",
    async () => {
      await using world = setup();
      const status = await world.start("--listen", "0.0.0.0:0");
      expect(status.listen).toEqual([
        expect.stringMatching(/^https:\/\/0\.0\.0\.0:\d+$/),
        `unix:${world.state}/server.sock`,
      ]);
      const file = readFileSync(world.own, "utf8");
      const shown = await shake(world, portOf(status), "-showcerts");
      expect(shown.replaceAll("\r", "")).toContain(file.trim());
      expect((await world.farhandd(["fingerprint"])).stdout).toBe(`${status.tls?.pin}\n`);
      // curl makes its own of the same key.
      const pin = Buffer.from(String(status.tls?.pin).slice("sha256:".length), "base64url").toString(
        "base64",
      );
      const url = `https://127.0.0.1:${portOf(status)}/healthz`;
      expect(await curl(world, "--insecure", "--pinnedpubkey", `sha256//${pin}`, url)).toBe("200");
      expect(await curl(world, url)).toStartWith("60: "); // nobody vouches for it
      const named = new X509Certificate(file);
      for (const name of ["localhost", hostname().toLowerCase()]) expect(named.checkHost(name)).toBe(name);

      await world.farhandd(["stop"]);
      expect((await world.farhandd(["fingerprint"])).stdout).toBe(`${status.tls?.pin}\n`);
      const again = await world.start("--listen", "[::]:0");
      expect(again.tls).toEqual(status.tls);
      for (const host of ["localhost", "127.0.0.1", "[::1]"])
        expect(await curl(world, "--cacert", world.own, `https://${host}:${portOf(again)}/healthz`)).toBe(
          "200",
        );
      expect((await world.farhandd(["status"])).stdout).toContain(
        `TLS with the key ${status.tls?.pin}, certificate until 20`,
      );
    },
  );

  testWithOpenssl(
    "speaks TLS 1.2 and 1.3, and refuses what is older by the protocol's own alert",
    async () => {
      await using world = setup();
      const port = portOf(await world.start("--listen", "0.0.0.0:0"));
      const weak = ["-cipher", "DEFAULT:@SECLEVEL=0"];
      for (const old of ["-tls1", "-tls1_1"])
        expect(await shake(world, port, old, ...weak)).toContain("alert protocol version");
      expect(await shake(world, port, "-tls1_2", "-brief")).toContain("Protocol version: TLSv1.2");
      expect(await shake(world, port, "-tls1_3", "-brief")).toContain("Protocol version: TLSv1.3");
      for (const cipher of ["RC4", "3DES", "aNULL", "eNULL", "EXPORT"])
        expect(await shake(world, port, "-tls1_2", "-cipher", `${cipher}:@SECLEVEL=0`)).not.toContain(
          "Cipher is ECDHE",
        );
      expect((await world.status()).pid).toBeGreaterThan(0);
    },
  );

  testWithCurl("answers neither HTTP on the TLS port nor TLS on the plain one, and goes on", async () => {
    await using world = setup();
    const status = await world.start("--listen", "0.0.0.0:0", "--listen", "127.0.0.1:0");
    expect(await curl(world, `http://127.0.0.1:${portOf(status)}/healthz`)).toMatch(/^(52|56): /);
    expect(await curl(world, "--insecure", `https://127.0.0.1:${portOf(status, 1)}/healthz`)).toMatch(
      /^35: /,
    );
    for (const garbage of ["\x16\x03\x01\xff\xff", "\0".repeat(100), "GET / HTTP/1.1\r\n\r\n"]) {
      using client = await RawClient.connect(`http://127.0.0.1:${portOf(status)}`);
      client.write(garbage);
    }
    expect(await curl(world, "--cacert", world.own, `https://127.0.0.1:${portOf(status)}/healthz`)).toBe(
      "200",
    );
    expect((await world.status()).pid).toBe(status.pid);
  });

  testWithCurl(
    "serves loopback beside it in the clear, which is where this machine's clients go",
    async () => {
      await using world = setup();
      const status = await world.start("--listen", "0.0.0.0:0", "--listen", "127.0.0.1:0");
      expect(world.local().url).toBe(`http://${status.listen[1]}`);
      expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
      const target = {
        url: `https://127.0.0.1:${portOf(status)}`,
        token: world.local().token,
        certificate: readFileSync(world.own, "utf8"),
      };
      using client = await RawClient.open(target);
      client.call(1, "user-name");
      expect(await client.control("result")).toMatchObject({ call: 1 });
      await expect(RawClient.upgrade({ ...target, token: "wrong" })).rejects.toThrow("401");
    },
  );

  testWithCurl("serves without TLS where that is demanded, and warns of it", async () => {
    await using world = setup();
    const status = await world.start("--listen", "0.0.0.0:0", "--insecure");
    expect(status.listen[0]).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
    expect(status.tls).toBeUndefined();
    expect(existsSync(world.own)).toBe(false);
    expect(await curl(world, `http://127.0.0.1:${portOf(status)}/healthz`)).toBe("200");
    const log = readFileSync(join(world.state, "logs", "server.log"), "utf8");
    expect(log).toContain(
      "warn  serving without TLS: whoever is on the way reads and changes everything, the tokens too",
    );
    const { code, stderr } = await world.farhandd(["fingerprint"]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("the first start with an address beyond loopback"),
    ]);
  });

  testWithCurl(
    "answers to the names that it is told, those of its certificate and addresses, and to no other",
    async () => {
      await using world = setup();
      const { cert, key } = world.make("web1", { names: "DNS:web1.example.com,DNS:*.lab.example.com" });
      const status = await world.start(
        "--listen",
        "0.0.0.0:0",
        "--name",
        "told.lab",
        "--cert",
        cert,
        "--key",
        key,
      );
      const ask = (host: string) =>
        curl(world, "-k", "-H", `Host: ${host}`, `https://127.0.0.1:${portOf(status)}/healthz`);
      for (const host of [
        "told.lab",
        "WEB1.example.com:1",
        "any.lab.example.com",
        "10.1.2.3",
        "[2001:db8::1]:443",
        hostname(),
      ])
        expect([host, await ask(host)]).toEqual([host, "200"]);
      for (const host of [
        "evil.example",
        "lab.example.com",
        "a.b.lab.example.com",
        "told.lab.evil.example",
        "127.0.0.1.evil",
      ])
        expect([host, await ask(host)]).toEqual([host, "403"]);
    },
  );
});

testWithCurl("IPv4 and IPv6 may have the same port, each by an address of its own", async () => {
  await using world = setup();
  const port = portOf(await world.start("--listen", "0.0.0.0:0"));
  await world.farhandd(["stop"]);
  await world.start("--listen", `[::]:${port}`, "--listen", `0.0.0.0:${port}`);
  for (const host of ["127.0.0.1", "[::1]"])
    expect(await curl(world, "--cacert", world.own, `https://${host}:${port}/healthz`)).toBe("200");
});

describe("--cert and --key", () => {
  testWithCurl("are what clients are shown, with the chain", async () => {
    await using world = setup();
    const root = world.make("root", { isAuthority: true });
    const between = world.make("between", { by: root, isAuthority: true });
    const { cert, key } = world.make("web1", { by: between });
    writeFileSync(world.at("chain.pem"), readFileSync(cert, "utf8") + readFileSync(between.cert, "utf8"));
    const status = await world.start("--listen", "0.0.0.0:0", "--cert", "chain.pem", "--key", key);
    expect(await curl(world, "--cacert", root.cert, `https://127.0.0.1:${portOf(status)}/healthz`)).toBe(
      "200",
    );
    expect(existsSync(world.own)).toBe(false);
    await world.farhandd(["stop"]);
    const { stdout } = await world.farhandd(["fingerprint", "--config", config(world, cert, key)]);
    expect(stdout).toBe(`${status.tls?.pin}\n`);
  });

  testWithOpenssl("that cannot be used keep the server from starting, and it says why", async () => {
    await using world = setup();
    const { cert, key } = world.make("web1");
    const expired = world.make("expired", { days: [-9, -1] });
    const open = world.make("open");
    chmodSync(open.key, 0o644);
    for (const [certificate, secret, why] of [
      [expired.cert, expired.key, `certificate "${expired.cert}": the one of CN=expired has expired on 20`],
      [key, cert, "are certificate and key swapped?"],
      [cert, expired.key, "is another's"],
      [open.cert, open.key, `key "${open.key}": others may read or change it; run chmod 600 ${open.key}`],
      [cert, world.home, `key "${world.home}": it is a directory`],
      [world.at("none"), key, "there is no such file"],
    ] as const) {
      const args = ["start", "--listen", "0.0.0.0:0", "--cert", certificate, "--key", secret];
      const { code, stdout, stderr } = await world.farhandd(args);
      expect([code, stdout, stderr]).toEqual([
        1,
        "",
        expect.stringMatching(/^farhandd: Cannot use [^\n]+\n$/),
      ]);
      expect(stderr).toContain(why);
    }
    const alone = await world.farhandd(["start", "--listen", "0.0.0.0:0", "--cert", cert]);
    expect([alone.code, alone.stderr]).toEqual([
      1,
      "farhandd: Cannot use --cert alone: name its --key too\n",
    ]);
  });

  testWithOpenssl("of our own that others may read, or that is damaged, is refused too", async () => {
    await using world = setup();
    await world.start("--listen", "0.0.0.0:0");
    await world.farhandd(["stop"]);
    const key = join(world.state, "tls", "key.pem");
    chmodSync(key, 0o640 | 0o004);
    const open = await world.farhandd(["start", "--listen", "0.0.0.0:0"]);
    expect([open.code, open.stderr]).toEqual([1, expect.stringContaining(`run chmod 600 ${key}`)]);
    chmodSync(key, 0o600);
    expect((await world.start("--listen", "0.0.0.0:0")).tls?.pin).toMatch(/^sha256:/);
  });
});

/** Writes a configuration that names certificate and key; answers its path. */
function config(world: World, cert: string, key: string): string {
  const path = join(world.home, "farhandd.toml");
  writeFileSync(path, `tls = { cert = "${cert}", key = "${key}" }\n`);
  return path;
}

describe("--client-ca", () => {
  testWithCurl(
    "lets in only clients in whose certificate an authority has issued; their token is asked for all the same",
    async () => {
      await using world = setup();
      const root = world.make("root", { isAuthority: true });
      const other = world.make("other", { isAuthority: true });
      // Whoever starts it may mean well, and still have this in his environment.
      const env = {
        NODE_TLS_REJECT_UNAUTHORIZED: "0",
        NODE_EXTRA_CA_CERTS: other.cert,
        SSL_CERT_FILE: other.cert,
      };
      const args = ["start", "--json", "--listen", "0.0.0.0:0", "--client-ca", root.cert];
      const status = JSON.parse((await world.farhandd(args, { env })).stdout) as ServerStatus;
      const ask = (path: string, who?: CertificateFiles, token?: string, ...more: string[]) =>
        curl(
          world,
          ...["--cacert", world.own, ...(who ? ["--cert", who.cert, "--key", who.key] : [])],
          ...(token ? ["-H", `Authorization: Bearer ${token}`] : []),
          ...[...more, `https://127.0.0.1:${portOf(status)}${path}`],
        );
      const good = world.make("good", { by: root });
      expect(await ask("/healthz", good)).toBe("200");
      expect(await ask("/v1/status", good)).toBe("401");
      expect(await ask("/v1/status", good, world.local().token)).toBe("200");
      for (const who of [
        undefined,
        world.make("foreign", { by: other }),
        world.make("itself"),
        world.make("impostor", { by: world.make("fake", { subject: "root", isAuthority: true }) }),
        world.make("late", { by: root, days: [-9, -1] }),
        world.make("early", { by: root, days: [2, 9] }),
      ])
        expect(await ask("/v1/stop", who, world.local().token, "-X", "POST")).toMatch(/^(35|52|55|56): /);
      // This machine's own have no certificate, and come by the socket.
      expect((await world.status()).pid).toBe(status.pid);
      const refused = await world.farhandd(["start", "--listen", "0.0.0.0:0", "--client-ca", good.key]);
      expect(refused.code).toBe(1);
    },
  );

  testWithOpenssl(
    "that is no authority's certificate, or has expired, keeps the server from starting",
    async () => {
      await using world = setup();
      const { cert, key } = world.make("old", { isAuthority: true, days: [-9, -1] });
      for (const [path, why] of [
        [cert, "has expired"],
        [key, "swapped"],
        [world.at("none"), "no such file"],
      ] as const) {
        const { code, stderr } = await world.farhandd([
          "start",
          "--listen",
          "0.0.0.0:0",
          "--client-ca",
          path,
        ]);
        expect([code, stderr]).toEqual([
          1,
          expect.stringMatching(/^farhandd: Cannot use client CA [^\n]+\n$/),
        ]);
        expect(stderr).toContain(why);
      }
    },
  );
});

describe("A request that is none", () => {
  const HOST = "Host: 127.0.0.1\r\n";
  const cases = [
    ["no Host", "GET /healthz HTTP/1.1\r\n\r\n", "400"],
    ["two Hosts", `GET /healthz HTTP/1.1\r\n${HOST}Host: evil.example\r\n\r\n`, "403"],
    ["another's Host before ours", `GET /healthz HTTP/1.1\r\nHost: evil.example\r\n${HOST}\r\n`, "403"],
    [
      "a URL of ours and another's Host",
      "GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
      "403",
    ],
    [
      "two Origins",
      `GET /healthz HTTP/1.1\r\n${HOST}Origin: https://127.0.0.1\r\nOrigin: https://evil.example\r\n\r\n`,
      "403",
    ],
    [
      "two lengths",
      `POST /v1/stop HTTP/1.1\r\n${HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
      "400",
    ],
    [
      "a length and chunks",
      `POST /v1/stop HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      "400",
    ],
    ["a NUL in its path", `GET /heal\0thz HTTP/1.1\r\n${HOST}\r\n`, "505"],
    ["a folded header", `GET /healthz HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, "400"],
    ["a path of 100 KB", `GET /${"a".repeat(100_000)} HTTP/1.1\r\n${HOST}\r\n`, "431"],
    ["100 KB of headers", `GET /healthz HTTP/1.1\r\n${HOST}X: ${"a".repeat(100_000)}\r\n\r\n`, "431"],
    ["another spelling of a path", `GET //v1%2Fstatus HTTP/1.1\r\n${HOST}\r\n`, "401"],
    ["an encoded NUL", `GET /healthz%00 HTTP/1.1\r\n${HOST}\r\n`, "401"],
  ] as const;

  test("is refused by TLS as in the clear, and no other is answered in its place", async () => {
    await using world = setup();
    const status = await world.start("--listen", "0.0.0.0:0", "--listen", "127.0.0.1:0");
    const certificate = readFileSync(world.own, "utf8");
    for (const [index, ca] of [
      [0, certificate],
      [1, undefined],
    ] as const)
      for (const [what, request, code] of cases) {
        const answer = await exchange(portOf(status, index), request, ca);
        expect([what, answer.slice(0, 12)]).toEqual([what, `HTTP/1.1 ${code}`]);
        expect(answer.match(/^HTTP\/1\.1 /gm)).toHaveLength(1);
        expect(answer).not.toContain("ok\n");
      }
    expect((await world.status()).pid).toBe(status.pid);
  });
});

/** What is answered to these bytes: a refusal is JSON, or ends the connection. */
function exchange(port: number, request: string, ca: string | undefined): Promise<string> {
  return new Promise((resolve) => {
    const socket =
      ca === undefined ? connectPlain(port, "127.0.0.1") : connectTls({ port, host: "127.0.0.1", ca });
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
      // A second answer would be in the same packet, or come before the end.
      if (/\r\n\r\n[^]*\}$/.test(answer)) socket.end();
    });
    socket.on("error", () => resolve(answer));
    socket.on("close", () => resolve(answer));
    socket.on(ca === undefined ? "connect" : "secureConnect", () => socket.write(request, "latin1"));
  });
}

testIf(networkFault === undefined, `another machine on the network: ${networkFault}`)(
  "Another machine reaches a server by TLS, and by nothing else",
  async () => {
    await using network = openNetwork();
    await using world = setup({ inside: network.server.inside });
    const { address } = network.server;
    const status = await world.start("--listen", `${address}:0`, "--listen", "127.0.0.1:0");
    // The trust in it is carried over by hand.
    const there = async (...args: string[]) => {
      const argv = [...network.client.inside, "curl", "-sS", "--max-time", "10", ...args];
      const child = Bun.spawn(argv, { stdout: "pipe", stderr: "pipe" });
      return (await child.stdout.text()) + (await child.stderr.text());
    };
    const trusted = ["--cacert", world.own];
    const url = `https://${address}:${portOf(status)}`;
    expect(await there(...trusted, `${url}/healthz`)).toBe("ok\n");
    const authorized = [...trusted, "-H", `Authorization: Bearer ${world.local().token}`];
    expect(JSON.parse(await there(...authorized, `${url}/v1/status`))).toMatchObject({ pid: status.pid });
    expect(await there(`${url}/healthz`)).toContain("SSL certificate problem");
    expect(await there(`http://${address}:${portOf(status)}/healthz`)).not.toContain("ok");
    expect(await there(`http://${address}:${portOf(status, 1)}/healthz`)).toContain("Failed to connect");
    expect(statSync(join(world.state, "tls", "key.pem")).mode & 0o777).toBe(0o600);
  },
);

testIf(networkFault === undefined, `another machine on the network: ${networkFault}`)(
  "Another machine joins by one line, and its programs go on while the certificate is renewed",
  async () => {
    await using network = openNetwork();
    await using world = setup({ inside: network.server.inside });
    const status = await world.start("--listen", "0.0.0.0:0");
    const url = `https://${network.server.address}:${portOf(status)}`;
    const line = (await world.farhandd(["invite", "--user", "bob", "--url", url])).stdout.trim();
    const home = world.at("elsewhere");
    mkdirSync(home);
    const there = (...args: string[]) => {
      const env = {
        PATH: String(world.env["PATH"]),
        HOME: home,
        WORLD_MARK: String(world.env["WORLD_MARK"]),
      };
      const argv = [...network.client.inside, FARHAND, ...args];
      return Bun.spawn(argv, { env, cwd: home, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    };
    const joined = there("join", line, "--name", "web1");
    expect([await joined.stderr.text(), await joined.exited]).toEqual(["", 0]);
    const script = ": > ready; seq 1 50000; while [ ! -e go ]; do sleep 0.02; done; seq 50001 100000; exit 7";
    const running = there("-H", "web1", "exec", "--shell", script);
    const said = running.stdout.text();
    await eventually(() => existsSync(world.at("ready")), 30_000);
    rmSync(world.own); // so that another is made
    const reloaded = await world.farhandd(["reload"]);
    expect([reloaded.code, reloaded.stdout]).toEqual([0, expect.stringContaining(String(status.tls?.pin))]);
    const later = there("-H", "web1", "exec", "--", "echo", "here");
    expect([await later.stdout.text(), await later.exited]).toEqual(["here\n", 0]);
    writeFileSync(world.at("go"), "");
    expect(await running.exited).toBe(7);
    expect(await said).toBe(Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join(""));
    expect(await running.stderr.text()).toBe("");
  },
);

test("--help of serve tells what TLS takes and what --insecure means", async () => {
  await using world = setup();
  const { stdout } = await world.farhandd(["serve", "--help"]);
  for (const flag of ["--cert", "--key", "--client-ca", "--insecure", "--name"])
    expect(stdout).toContain(flag);
  expect(stdout.replace(/\s+/g, " ")).toContain("anybody on the way reads and changes all, tokens too");
});
