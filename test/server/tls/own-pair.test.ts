import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openOwnPair } from "../../../src/server/tls/own-pair.ts";
import { findOpensslFault, openssl } from "../../support/certificates.ts";
import { openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

setDefaultTimeout(60_000); // openssl(1) has its own pace

const DAY = 24 * 60 * 60 * 1000;
const fault = findOpensslFault();

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "tls");
  const [cert, key] = [join(path, "cert.pem"), join(path, "key.pem")];
  const names = [
    "web1.lab",
    "web1",
    "my_host",
    "localhost",
    "127.0.0.1",
    "::1",
    "2001:db8::1",
    "::ffff:a01:203",
  ];
  /** As at a start so many days from now. */
  const open = (days = 0, more: readonly string[] = []) =>
    openOwnPair({ directory: path, names: [...names, ...more], now: new Date(Date.now() + days * DAY) });
  return { path, cert, key, names, open, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("openOwnPair()", () => {
  test("makes key and certificate, private to this user, and finds them again", async () => {
    using world = setup();
    const pair = await world.open();
    for (const [path, mode] of [
      [world.path, 0o700],
      [world.key, 0o600],
      [world.cert, 0o600],
    ] as const)
      expect(statSync(path).mode & 0o777).toBe(mode);
    expect(readFileSync(world.cert, "utf8")).toBe(pair.cert);
    expect(await world.open()).toMatchObject({ cert: pair.cert, key: pair.key, pin: pair.pin });
  });

  test("makes a certificate for every name, good since yesterday and for 13 months, that vouches for nobody else", async () => {
    using world = setup();
    const { leaf } = await world.open();
    for (const name of ["web1.lab", "web1", "localhost"]) expect(leaf.checkHost(name)).toBe(name);
    for (const address of ["127.0.0.1", "::1", "2001:db8::1"]) expect(leaf.checkIP(address)).toBe(address);
    expect([leaf.checkHost("web2"), leaf.checkIP("127.0.0.2")]).toEqual([undefined, undefined]);
    expect([leaf.subject, leaf.ca, leaf.verify(leaf.publicKey)]).toEqual(["CN=web1.lab", false, true]);
    expect(leaf.validFromDate.getTime()).toBeLessThan(Date.now() - 0.9 * DAY);
    const days = (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / DAY;
    expect(days).toBeLessThan(398);
    expect(days).toBeGreaterThan(390);
  });

  testIf(fault === undefined, `the opinion of others: ${fault}`)(
    "makes one that openssl accepts as it is",
    async () => {
      using world = setup();
      await world.open();
      const strictly = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "web1.lab"];
      expect(openssl("verify", ...strictly, "-CAfile", world.cert, world.cert)).toBe(`${world.cert}: OK\n`);
    },
  );

  test("renews with the same key once two thirds of its time are over, or when it lacks a name", async () => {
    using world = setup();
    const first = await world.open();
    expect((await world.open(260)).cert).toBe(first.cert);
    const second = await world.open(300);
    expect(second.cert).not.toBe(first.cert);
    expect(second.leaf.validToDate.getTime()).toBeGreaterThan(Date.now() + 690 * DAY);
    const third = await world.open(300, ["web1.example.com"]);
    expect(third.cert).not.toBe(second.cert);
    expect((await world.open(300)).cert).toBe(third.cert);
    expect(new Set([first, second, third].map(({ pin }) => pin)).size).toBe(1);
    expect(new Set([first, second, third].map(({ leaf }) => leaf.serialNumber)).size).toBe(3);
  });

  test("renews what a clock that was wrong has made", async () => {
    using world = setup();
    const ahead = await world.open(4_000);
    const now = await world.open();
    expect(now.leaf.validFromDate.getTime()).toBeLessThan(Date.now());
    expect(now.pin).toBe(ahead.pin);
    const behind = setup();
    const past = await behind.open(-20_000);
    expect((await behind.open()).leaf.validToDate.getTime()).toBeGreaterThan(Date.now());
    expect((await behind.open()).pin).toBe(past.pin);
    behind[Symbol.dispose]();
  });

  test.each([
    ["missing", (path: string) => rmSync(path)],
    ["empty", (path: string) => writeFileSync(path, "")],
    [
      "damaged",
      (path: string) => writeFileSync(path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
  ])("makes a certificate that is %s anew, with the same key", async (_, spoil) => {
    using world = setup();
    const first = await world.open();
    spoil(world.cert);
    const second = await world.open();
    expect(second.pin).toBe(first.pin);
    expect(new X509Certificate(readFileSync(world.cert)).toString()).toBe(second.cert);
  });

  test("does not use another key's certificate", async () => {
    using world = setup();
    using other = setup();
    await other.open();
    const first = await world.open();
    writeFileSync(world.cert, readFileSync(other.cert));
    expect((await world.open()).pin).toBe(first.pin);
  });

  test("makes no other key while there is one that it cannot use, and says what that would mean", async () => {
    using world = setup();
    await world.open();
    const key = readFileSync(world.key, "utf8");
    const advice =
      "put back a copy; if there is none, remove it: clients must then be told the new fingerprint";
    for (const text of ["", "nonsense", key.slice(0, 100)]) {
      writeFileSync(world.key, text);
      await expect(world.open()).rejects.toThrow(advice);
      expect(readFileSync(world.key, "utf8")).toBe(text);
    }
    writeFileSync(world.key, key);
    chmodSync(world.key, 0o644);
    await expect(world.open()).rejects.toThrow(/others may read or change it; run chmod 600 \S+$/);
  });
});
