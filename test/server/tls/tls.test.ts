import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../../../src/server/config.ts";
import { type Credentials, Tls, tendTls } from "../../../src/server/tls/tls.ts";
import { createCertificates, findOpensslFault } from "../../support/certificates.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { testIf } from "../../support/test-if.ts";

setDefaultTimeout(60_000); // openssl(1) has its own pace

const DAY = 24 * 60 * 60 * 1000;
const fault = findOpensslFault();
const testWithFiles = testIf(fault === undefined, `an operator's certificates: ${fault}`);

function setup() {
  const directory = openDirectory();
  const secured: Credentials[] = [];
  const clock = { days: 0, refuses: false };
  const toConfig = (
    changes: { readonly names?: string[]; readonly cert?: string; readonly key?: string } = {},
  ) =>
    readConfig(
      {
        listen: ["0.0.0.0:9922"],
        names: changes.names ?? [],
        tls: { ...(changes.cert && { cert: changes.cert }), ...(changes.key && { key: changes.key }) },
        state: directory.path,
        config: undefined,
        logLevel: undefined,
        logFormat: undefined,
      },
      {},
    );
  const open = (config = toConfig()) =>
    Tls.open({
      directory: join(directory.path, "tls"),
      config,
      now: () => new Date(Date.now() + clock.days * DAY),
      secure: async (credentials) => {
        if (clock.refuses) throw new Error("no");
        secured.push(credentials);
      },
    });
  return {
    secured,
    clock,
    toConfig,
    open,
    make: createCertificates(directory.path),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("Tls", () => {
  test("renews a certificate of its own while it runs, once it is time, with the same key", async () => {
    using world = setup();
    const tls = await world.open();
    const { cert, pin } = tls.current;
    expect(await tls.runOnce()).toBeUndefined();
    world.clock.days = 300;
    expect(await tls.runOnce()).toStartWith(`${pin}, good until 20`);
    expect(tls.current).toMatchObject({ pin });
    expect(tls.current.cert).not.toBe(cert);
    expect(world.secured.map(({ cert }) => cert)).toEqual([tls.current.cert]);
    expect(await tls.runOnce()).toBeUndefined();
  });

  test("goes on with what it has where the server cannot use another, and tries again", async () => {
    using world = setup();
    const tls = await world.open();
    const { cert } = tls.current;
    world.clock.days = 300;
    world.clock.refuses = true;
    await expect(tls.runOnce()).rejects.toThrow("no");
    expect(tls.current.cert).toBe(cert);
    world.clock.refuses = false;
    expect(await tls.runOnce()).toContain("good until");
  });

  test("makes its certificate good for names that a reload brings, and leaves it as it is otherwise", async () => {
    using world = setup();
    const tls = await world.open();
    expect([tls.isNamed("web1.lab"), await tls.reload(world.toConfig())]).toEqual([false, undefined]);
    expect(await tls.reload(world.toConfig({ names: ["web1.lab"] }))).toContain(tls.current.pin);
    expect([tls.isNamed("web1.lab"), tls.isNamed("web2.lab"), tls.isNamed("127.0.0.1")]).toEqual([
      true,
      false,
      false,
    ]);
  });

  testWithFiles("takes an operator's files by a reload, and never touches those by itself", async () => {
    using world = setup();
    const tls = await world.open();
    const files = world.make("web1", { names: "DNS:*.lab.example", days: [-1, 5] });
    expect(await tls.reload(world.toConfig(files))).toContain("good until");
    expect([tls.isNamed("any.lab.example"), tls.isNamed("lab.example"), tls.daysLeft]).toEqual([
      true,
      false,
      4,
    ]);
    world.clock.days = 4;
    expect(await tls.runOnce()).toBeUndefined();
    rmSync(files.cert);
    await expect(tls.reload(world.toConfig(files))).rejects.toThrow("no such file");
    expect(tls.isNamed("any.lab.example")).toBe(true);
  });
});

testWithFiles("tendTls() warns of a certificate that only its operator can renew, once a day", async () => {
  using world = setup();
  const { cert, key } = world.make("web1", { days: [-1, 5] });
  const tls = await world.open(world.toConfig({ cert, key }));
  const warned: unknown[] = [];
  const quiet = () => {};
  const log = {
    error: quiet,
    info: quiet,
    debug: quiet,
    warn: (_: string, fields?: object) => void warned.push(fields),
  };
  const stop = new AbortController();
  const tending = tendTls(tls, { log, onRenewed: quiet, signal: stop.signal });
  await eventually(() => warned.length > 0);
  stop.abort();
  await tending.catch(() => {});
  expect(warned).toEqual([{ days: 4 }]);
});

test("tendTls() tells of a certificate that it has renewed", async () => {
  using world = setup();
  const tls = await world.open();
  world.clock.days = 300;
  const renewed: string[] = [];
  const quiet = () => {};
  const log = { error: quiet, info: quiet, debug: quiet, warn: quiet };
  const stop = new AbortController();
  const onRenewed = (now: string) => void renewed.push(now);
  const tending = tendTls(tls, { log, onRenewed, signal: stop.signal });
  await eventually(() => renewed.length > 0);
  stop.abort();
  await tending.catch(() => {});
  expect(renewed).toEqual([expect.stringContaining(tls.current.pin)]);
});
