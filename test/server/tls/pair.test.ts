import { describe, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { readCertificates, readPair } from "../../../src/server/tls/pair.ts";
import { createCertificates, findOpensslFault, openssl } from "../../support/certificates.ts";
import { openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

setDefaultTimeout(60_000); // openssl(1) has its own pace

const fault = findOpensslFault();
const testMade = testIf(fault === undefined, `certificates by others: ${fault}`);
const isRoot = process.getuid?.() === 0;

function setup() {
  const directory = openDirectory();
  const at = (name: string) => join(directory.path, name);
  const write = (name: string, text: string | Uint8Array, mode = 0o600) => {
    writeFileSync(at(name), text, { mode });
    chmodSync(at(name), mode);
    return at(name);
  };
  /** Why a pair is refused. */
  const refusal = (cert: string, key: string) => {
    try {
      readPair(cert, key, new Date());
    } catch (error) {
      if (error instanceof AppError && error.code === "invalid_config") return error.message;
      throw error;
    }
    throw new Error("It was accepted");
  };
  return {
    at,
    write,
    refusal,
    make: createCertificates(directory.path),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("readPair()", () => {
  testMade("reads a certificate with those that vouch for it, and the fingerprint of its key", () => {
    using world = setup();
    const root = world.make("root", { isAuthority: true });
    const between = world.make("between", { by: root, isAuthority: true });
    const leaf = world.make("leaf", { by: between });
    const chain = world.write(
      "chain.pem",
      [leaf, between, root].map(({ cert }) => readFileSync(cert)).join(""),
    );
    const pair = readPair(chain, leaf.key, new Date());
    expect(pair.cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(pair.leaf.subject).toBe("CN=leaf");
    const info = openssl(
      "pkey",
      "-in",
      leaf.key,
      "-pubout",
      "-outform",
      "DER",
      "-out",
      world.at("public.der"),
    );
    expect(info).toBe("");
    const digest = new Bun.CryptoHasher("sha256")
      .update(readFileSync(world.at("public.der")))
      .digest("base64url");
    expect(pair.pin).toBe(`sha256:${digest}` as typeof pair.pin);
    expect(readPair(leaf.cert, leaf.key, new Date()).cert.match(/BEGIN/g)).toHaveLength(1);
  });

  testMade(
    "takes keys as others write them: RSA, PKCS #1, SEC 1 with its parameters, Windows line ends",
    () => {
      using world = setup();
      const subject = ["-subj", "/CN=web1", "-days", "9"];
      const [cert, key] = [world.at("c.pem"), world.at("k.pem")];
      openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, ...subject);
      expect(readPair(cert, key, new Date()).leaf.subject).toBe("CN=web1");
      openssl("rsa", "-in", key, "-traditional", "-out", world.at("1.pem"));
      chmodSync(world.at("1.pem"), 0o600);
      expect(readPair(cert, world.at("1.pem"), new Date()).key).toContain("BEGIN RSA PRIVATE KEY");
      openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", key);
      chmodSync(key, 0o600);
      openssl("req", "-x509", "-key", key, "-out", cert, ...subject);
      const crlf = world.write("crlf.pem", readFileSync(cert, "utf8").replaceAll("\n", "\r\n"));
      expect(readPair(crlf, key, new Date()).key).toStartWith("-----BEGIN EC PRIVATE KEY");
    },
  );

  testMade("refuses files that are none of it, each in a sentence with its name", () => {
    using world = setup();
    const { cert, key } = world.make("good");
    const other = world.make("other");
    mkdirSync(world.at("folder"));
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", world.at("locked.pem"));
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", world.at("old.pem"));
    for (const name of ["locked.pem", "old.pem"]) chmodSync(world.at(name), 0o600);
    const damage = (path: string) => readFileSync(path, "utf8").replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA");
    const cases = [
      [world.at("no"), key, `certificate "${world.at("no")}": there is no such file`],
      [cert, world.at("no"), `key "${world.at("no")}": there is no such file`],
      [world.at("folder"), key, "it is a directory"],
      [cert, world.at("folder"), "it is a directory"],
      [world.write("empty", ""), key, "it is empty"],
      [cert, world.write("blank", "\n \n"), "it is empty"],
      [world.write("text", "hello"), key, "it is not in PEM"],
      [world.write("der", Buffer.from([0x30, 0x82, 0, 0xff])), key, "it is not in PEM"],
      [world.write("large", Buffer.alloc(10_000_000, "x")), key, "it is larger than 1 MiB"],
      [key, cert, "it is a key; are certificate and key swapped?"],
      [
        cert,
        world.write("cert", readFileSync(cert)),
        "it is a certificate; are certificate and key swapped?",
      ],
      [cert, world.at("locked.pem"), "it is encrypted"],
      [cert, world.at("old.pem"), "it is encrypted"],
      [cert, other.key, `certificate "${cert}": the key "${other.key}" is another's`],
      [world.write("damaged.pem", damage(cert)), key, "it is damaged"],
      [cert, world.write("damaged.key", damage(key)), "it is damaged, or of a kind that is not known"],
    ] as const;
    for (const [cert, key, why] of cases) {
      expect(world.refusal(cert, key)).toContain(why);
      expect(world.refusal(cert, key)).toMatch(/^Cannot use (certificate|key) "[^"]+": [^\n]+$/);
    }
  });

  testMade("refuses what is not good now, and chains that do not hang together", () => {
    using world = setup();
    const expired = world.make("expired", { days: [-60, -1] });
    expect(world.refusal(expired.cert, expired.key)).toMatch(/CN=expired has expired on \d{4}-\d\d-\d\d$/);
    const early = world.make("early", { days: [2, 9] });
    expect(world.refusal(early.cert, early.key)).toMatch(/CN=early is not valid before \d{4}-\d\d-\d\d$/);
    const root = world.make("root", { isAuthority: true });
    const stale = world.make("stale", { by: root, isAuthority: true, days: [-60, -1] });
    const leaf = world.make("leaf", { by: root });
    const stranger = world.make("stranger", { isAuthority: true });
    const double = world.make("double", { subject: "root", isAuthority: true });
    for (const [second, why] of [
      [stranger, "CN=leaf is followed by CN=stranger, which has not issued it"],
      [double, "CN=leaf is followed by CN=root, which has not issued it"],
      [stale, "CN=stale has expired"],
    ] as const) {
      const chain = world.write(
        "chain.pem",
        readFileSync(leaf.cert, "utf8") + readFileSync(second.cert, "utf8"),
      );
      expect(world.refusal(chain, leaf.key)).toContain(why);
    }
  });

  testMade("refuses a key that others may read, and says how to close it", () => {
    using world = setup();
    const { cert, key } = world.make("web1");
    for (const mode of [0o644, 0o604, 0o660, 0o622]) {
      chmodSync(key, mode);
      expect(world.refusal(cert, key)).toBe(
        `Cannot use key "${key}": others may read or change it; run chmod 600 ${key}`,
      );
    }
    // As Debian gives root's keys to a group of servers.
    chmodSync(key, isRoot ? 0o640 : 0o400);
    expect(readPair(cert, key, new Date()).leaf.subject).toBe("CN=web1");
  });

  testIf(isRoot && fault === undefined, "a key of another user takes root")(
    "refuses another user's key",
    () => {
      using world = setup();
      const { cert, key } = world.make("web1");
      chownSync(key, 65_534, 65_534);
      expect(world.refusal(cert, key)).toBe(`Cannot use key "${key}": it belongs to user 65534, not 0`);
    },
  );
});

testMade("readCertificates() reads all authorities of a file, and refuses one that has expired", () => {
  using world = setup();
  const all = ["one", "two"].map((name) =>
    readFileSync(world.make(name, { isAuthority: true }).cert, "utf8"),
  );
  const file = (text: string) => ({ path: world.write("ca.pem", text), what: "client CA" });
  expect(readCertificates(file(all.join("# two\n")), new Date()).map(({ subject }) => subject)).toEqual([
    "CN=one",
    "CN=two",
  ]);
  const expired = readFileSync(world.make("old", { isAuthority: true, days: [-9, -1] }).cert, "utf8");
  expect(() => readCertificates(file(all.join("") + expired), new Date())).toThrow("Cannot use client CA");
});
