import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTarget } from "../../src/client/config.ts";
import { HostBook } from "../../src/client/host-book.ts";
import { findHost, findHostToken, readHosts, type StoredHost } from "../../src/client/hosts.ts";
import { Pin } from "../../src/protocol/pin.ts";
import * as v from "valibot";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

const pin = v.parse(Pin, `sha256:${"A".repeat(43)}`);
const web1: StoredHost = { url: "https://web1.lab:9922", trust: { type: "pin", pin } };

function setup() {
  const directory = openDirectory();
  const home = join(directory.path, "config");
  const env = { FARHAND_CONFIG_HOME: home, FARHAND_STATE: directory.path };
  return { home, env, book: new HostBook(home), [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const testModes = testIf(process.platform !== "win32", "Windows has no such modes");
const mode = (path: string) => statSync(path).mode & 0o777;

describe("HostBook", () => {
  test("keeps hosts and their tokens, and forgets both", () => {
    using world = setup();
    const { home, book } = world;
    expect(readHosts(home).size).toBe(0);
    book.add("web1", web1, { token: "fh_secret" });
    book.add("web2", { ...web1, url: "https://web2.lab:9922" });
    expect([...readHosts(home).keys()]).toEqual(["web1", "web2"]);
    expect(findHost(readHosts(home), "web1")).toEqual({ name: "web1", ...web1 });
    expect(findHostToken(home, "web1")).toBe("fh_secret");
    expect(findHostToken(home, "web2")).toBeUndefined();
    expect(readFileSync(join(home, "hosts.json"), "utf8")).not.toContain("fh_secret");
    expect(() => book.remove(["web1", "web3"])).toThrow(expect.objectContaining({ code: "not_found" }));
    expect(readHosts(home).size).toBe(2);
    book.remove(["web1"]);
    expect([...readHosts(home).keys()]).toEqual(["web2"]);
    expect(readdirSync(join(home, "tokens"))).toEqual([]);
  });

  testModes("makes everything closed to others, whatever the umask", () => {
    using world = setup();
    const before = process.umask(0);
    try {
      world.book.add("web1", web1, { token: "fh_secret" });
    } finally {
      process.umask(before);
    }
    expect([mode(world.home), mode(join(world.home, "tokens"))]).toEqual([0o700, 0o700]);
    for (const name of ["hosts.json", "hosts.lock"]) expect(mode(join(world.home, name))).toBe(0o600);
    expect(mode(join(world.home, "tokens", "web1"))).toBe(0o600);
  });

  test("replaces a host only where that is meant, and its token with it", () => {
    using world = setup();
    world.book.add("web1", web1, { token: "fh_secret" });
    const other = { ...web1, url: "https://other:9922" };
    for (const name of ["web1", "WEB1"])
      expect(() => world.book.add(name, other)).toThrow(expect.objectContaining({ code: "already_exists" }));
    expect(readHosts(world.home).get("web1")).toEqual(web1);
    world.book.add("web1", other, { replaces: true });
    expect(readHosts(world.home).get("web1")).toEqual(other);
    expect(findHostToken(world.home, "web1")).toBeUndefined();
  });

  test("keeps a renewed certificate for the key that it belongs to, and for no other", () => {
    using world = setup();
    world.book.add("web1", web1);
    world.book.keepCertificate("web1", v.parse(Pin, `sha256:${"B".repeat(43)}`), "other");
    world.book.keepCertificate("web2", pin, "PEM");
    expect(readHosts(world.home).get("web1")).toEqual(web1);
    world.book.keepCertificate("web1", pin, "PEM");
    expect(readHosts(world.home).get("web1")?.trust).toEqual({ type: "pin", pin, certificate: "PEM" });
  });

  test("goes on where a client was ended while it wrote", () => {
    using world = setup();
    world.book.add("web1", web1);
    writeFileSync(join(world.home, "hosts.json.new"), '{"version":1,"hos', { mode: 0o600 });
    world.book.add("web2", web1, { replaces: true });
    expect([...readHosts(world.home).keys()]).toEqual(["web1", "web2"]);
    expect(readdirSync(world.home)).not.toContain("hosts.json.new");
  });

  test("stores neither host nor token where one of them cannot be stored", () => {
    using world = setup();
    world.book.add("web1", web1);
    mkdirSync(join(world.home, "hosts.json.new"));
    expect(() => world.book.add("web2", web1, { token: "fh_secret" })).toThrow(
      expect.objectContaining({ code: "state_unusable" }),
    );
    expect([...readHosts(world.home).keys()]).toEqual(["web1"]);
    expect(readdirSync(join(world.home, "tokens"))).toEqual([]);
  });

  test("leaves a host with its token where another cannot take its place", () => {
    using world = setup();
    world.book.add("web1", web1, { token: "fh_old" });
    mkdirSync(join(world.home, "hosts.json.new"));
    const other = { ...web1, url: "https://other:9922" };
    expect(() => world.book.add("web1", other, { token: "fh_new", replaces: true })).toThrow();
    const { host, token } = findTarget({ host: "web1" }, world.env);
    expect([host.url, token]).toEqual([web1.url, "fh_old"]);
  });

  testModes("keeps nothing in a directory that others may enter, where it would be refused later", () => {
    using world = setup();
    mkdirSync(world.home);
    chmodSync(world.home, 0o755);
    expect(() => world.book.add("web1", web1)).toThrow(`run chmod 700 '${world.home}'`);
    expect(() => world.book.check("web1", { replaces: true })).toThrow("run chmod 700");
    chmodSync(world.home, 0o700);
    world.book.add("web1", web1);
  });
});

describe("Kept hosts are refused", () => {
  testModes.each([
    ["hosts.json", "644"],
    ["hosts.json", "620"],
    ["", "750"],
    ["", "707"],
    ["tokens/web1", "640"],
  ])("where %j is of mode %s, with what to do", (name, wide) => {
    using world = setup();
    world.book.add("web1", web1, { token: "fh_secret" });
    const path = join(world.home, name);
    chmodSync(path, Number.parseInt(wide, 8));
    expect(() => findTarget({ host: "web1" }, world.env)).toThrow(
      expect.objectContaining({
        code: "state_unusable",
        message: `Cannot use "${path.replace(/\/$/, "")}": others may read or change it; run chmod ${name === "" ? 700 : 600} '${path.replace(/\/$/, "")}'`,
      }),
    );
  });

  testIf(process.getuid?.() === 0, "other users' files take root").each(["hosts.json", "tokens/web1"])(
    "where %s is another user's",
    (name) => {
      using world = setup();
      world.book.add("web1", web1, { token: "fh_secret" });
      chownSync(join(world.home, name), 12_345, 12_345);
      expect(() => findTarget({ host: "web1" }, world.env)).toThrow("it belongs to user 12345");
    },
  );

  test.each([
    ["", "put back a copy"],
    ["{", "put back a copy"],
    ['{"version":2,"hosts":{}}', "a newer farhand wrote it"],
    ['{"version":1,"hosts":{"../x":{"url":"https://a","trust":{"type":"system"}}}}', "a name is"],
    ['{"version":1,"hosts":{"a":{"url":"https://a","trust":{"type":"any"}}}}', "put back a copy"],
  ])("where their file says %j", (text, sentence) => {
    using world = setup();
    mkdirSync(world.home, { mode: 0o700 });
    writeFileSync(join(world.home, "hosts.json"), text, { mode: 0o600 });
    expect(() => findTarget({ host: "web1" }, world.env)).toThrow(sentence);
  });
});

describe("findTarget() of a kept host", () => {
  test("knows it by its name and by its address, with its token and what it is known by", () => {
    using world = setup();
    world.book.add("web1", web1, { token: "fh_secret" });
    for (const host of ["web1", "web1.lab", "https://web1.lab:9922", "wss://WEB1.lab:9922/"])
      expect(findTarget({ host }, world.env)).toMatchObject({
        host: { url: web1.url },
        name: "web1",
        token: "fh_secret",
        trust: web1.trust,
        isLocal: false,
      });
    expect(findTarget({ host: "web1.lab:9923" }, world.env)).toMatchObject({ token: undefined });
    expect(findTarget({}, { ...world.env, FARHAND_HOST: "web1" })).toMatchObject({ name: "web1" });
  });

  test("takes options before the environment, and that before what is kept", () => {
    using world = setup();
    world.book.add("web1", web1, { token: "kept" });
    const env = { ...world.env, FARHAND_TOKEN: "env", FARHAND_CA: "/env.pem" };
    world.book.add("web2", { url: "https://web2.lab", trust: { type: "system" } });
    expect(findTarget({ host: "web2" }, env)).toMatchObject({ token: "env", trust: { file: "/env.pem" } });
    // A key is not exchanged for an authority by a variable.
    expect(findTarget({ host: "web1" }, env)).toMatchObject({ token: "env", trust: web1.trust });
    const options = { host: "web1", token: "own", ca: "/own.pem" };
    expect(findTarget(options, env)).toMatchObject({ token: "own", trust: { file: "/own.pem" } });
    expect(findTarget(options, env).keep).toBeUndefined();
  });

  test("lets it be without TLS where that was said once", () => {
    using world = setup();
    const plain: StoredHost = { url: "http://10.0.0.4:9922", trust: { type: "system" } };
    world.book.add("plain", plain);
    expect(() => findTarget({ host: "plain" }, world.env)).toThrow("without TLS");
    expect(findTarget({ host: "plain", insecure: true }, world.env).host.url).toBe(plain.url);
    world.book.add("plain", { ...plain, insecure: true }, { replaces: true });
    expect(findTarget({ host: "plain" }, world.env).host.url).toBe(plain.url);
  });

  test("wants both halves of a client certificate", () => {
    using world = setup();
    for (const half of [{ clientCert: "c" }, { clientKey: "k" }])
      expect(() => findTarget({ host: "web1", ...half }, world.env)).toThrow("without its other half");
  });
});
