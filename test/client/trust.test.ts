import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { findAuthorities } from "../../src/client/authorities.ts";
import { AnotherCertificate, toTls } from "../../src/client/trust.ts";
import { Pin } from "../../src/protocol/pin.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

const PIN = v.parse(Pin, `sha256:${"A".repeat(43)}`);
const PEM = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

describe("toTls()", () => {
  test("always verifies, and always says against what", async () => {
    for (const trust of [{ type: "system" }, { type: "pin", pin: PIN, certificate: PEM }] as const) {
      const { rejectUnauthorized, ca } = await toTls(trust, undefined);
      expect(rejectUnauthorized).toBe(true);
      expect(ca.length).toBeGreaterThan(0);
    }
  });

  test("takes the one certificate, and none that it may have signed", async () => {
    const { checkServerIdentity } = await toTls({ type: "pin", pin: PIN, certificate: PEM }, undefined);
    expect(checkServerIdentity?.("x", { raw: Buffer.from([1, 2, 3]) })).toBeUndefined();
    for (const raw of [Buffer.from([1, 2]), Buffer.from([1, 2, 4]), Buffer.from([1, 2, 3, 4]), undefined])
      expect(checkServerIdentity?.("x", { raw })).toBeInstanceOf(AnotherCertificate);
  });

  test("names a file that is no use", async () => {
    using directory = openDirectory();
    const write = (name: string, text: string) => {
      writeFileSync(join(directory.path, name), text, { mode: 0o600 });
      return join(directory.path, name);
    };
    const [empty, pem] = [write("empty", ""), write("cert", PEM)];
    const key = write("key", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n");
    const ofFile = (file: string) => toTls({ type: "ca", file }, undefined);
    await expect(ofFile(empty)).rejects.toThrow("it holds no certificate in PEM");
    await expect(ofFile(key)).rejects.toThrow("it holds no certificate in PEM");
    await expect(ofFile(directory.path)).rejects.toThrow("Cannot read the authorities");
    await expect(ofFile(`${pem}.no`)).rejects.toThrow("no such file");
    const withOwn = (certificate: string, key: string) =>
      toTls({ type: "ca", file: pem }, { certificate, key });
    await expect(withOwn(pem, pem)).rejects.toThrow("it holds no private key in PEM");
    expect(await withOwn(pem, key)).toMatchObject({ cert: PEM });
  });

  testIf(process.platform !== "win32", "Windows has no such modes")(
    "refuses a key of ours that others can read",
    async () => {
      using directory = openDirectory();
      const key = join(directory.path, "key");
      writeFileSync(key, "-----BEGIN PRIVATE KEY-----");
      chmodSync(key, 0o644);
      const own = { certificate: key, key };
      writeFileSync(key, `${PEM}-----BEGIN PRIVATE KEY-----`);
      await expect(toTls({ type: "system" }, own)).rejects.toMatchObject({ code: "state_unusable" });
    },
  );
});

test("findAuthorities() finds some, whatever variables say", async () => {
  const before = process.env["SSL_CERT_FILE"];
  const found = await findAuthorities();
  process.env["SSL_CERT_FILE"] = "/nowhere";
  try {
    expect(await findAuthorities()).toEqual(found);
  } finally {
    if (before === undefined) delete process.env["SSL_CERT_FILE"];
    else process.env["SSL_CERT_FILE"] = before;
  }
  expect([...found].join("")).toContain("-----BEGIN CERTIFICATE-----");
});
