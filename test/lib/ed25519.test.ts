import { expect, test } from "bun:test";
import { createSeed, isKeyOf, isSignedBy, signWith, toPublicKey } from "../../src/lib/ed25519.ts";

const bytes = (hex: string) => Buffer.from(hex, "hex");

test("Keys and signatures are those of RFC 8032, section 7.1, tests 1 and 2", () => {
  const one = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  expect(toPublicKey(one).toString("hex")).toBe(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  );
  expect(signWith(one, Buffer.alloc(0)).toString("hex")).toBe(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  );
  const two = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  expect(signWith(two, bytes("72")).toString("hex")).toBe(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
});

test("Only what was signed, with that key, is signed", () => {
  const [seed, other] = [createSeed(), createSeed()];
  const message = Buffer.from("message");
  const signature = signWith(seed, message);
  expect(isSignedBy(toPublicKey(seed), message, signature)).toBe(true);
  expect(isSignedBy(toPublicKey(other), message, signature)).toBe(false);
  expect(isSignedBy(toPublicKey(seed), Buffer.from("Message"), signature)).toBe(false);
  for (const bad of [Buffer.alloc(0), Buffer.alloc(64), signature.subarray(1)])
    expect(isSignedBy(toPublicKey(seed), message, bad)).toBe(false);
  for (const bad of [Buffer.alloc(0), Buffer.alloc(32, 255)])
    expect(isSignedBy(bad, message, signature)).toBe(false);
  expect([
    isKeyOf(seed, toPublicKey(seed)),
    isKeyOf(seed, toPublicKey(other)),
    isKeyOf(seed, Buffer.alloc(3)),
  ]).toEqual([true, false, false]);
});
