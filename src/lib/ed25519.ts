import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";

/** Bytes of a private key as RFC 8032 has it (a seed), of a public key, and of a signature. */
export const SEED_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** What stands before the key in its DER form, PKCS #8 and SubjectPublicKeyInfo (RFC 8410, section 10). */
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const PUBLIC_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** A new private key. */
export function createSeed(): Buffer {
  return randomBytes(SEED_BYTES);
}

/** The public key of a private one. */
export function toPublicKey(seed: Uint8Array): Buffer {
  const der = createPublicKey(toPrivate(seed)).export({ format: "der", type: "spki" });
  return der.subarray(PUBLIC_PREFIX.length);
}

/** Whether a private key belongs to a public one. */
export function isKeyOf(seed: Uint8Array, publicKey: Uint8Array): boolean {
  return publicKey.length === PUBLIC_KEY_BYTES && timingSafeEqual(toPublicKey(seed), publicKey);
}

/** Signs a message with Ed25519 (RFC 8032). */
export function signWith(seed: Uint8Array, message: Uint8Array): Buffer {
  return sign(null, message, toPrivate(seed));
}

/** Whether the holder of a public key's private one has signed a message. Bytes that are no key have signed nothing. */
export function isSignedBy(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  try {
    const key = Buffer.concat([PUBLIC_PREFIX, publicKey]);
    return verify(null, message, createPublicKey({ key, format: "der", type: "spki" }), signature);
  } catch {
    return false; // no point of the curve
  }
}

function toPrivate(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, seed]), format: "der", type: "pkcs8" });
}
