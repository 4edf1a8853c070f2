import { createHash, type KeyObject, type X509Certificate } from "node:crypto";
import type { Pin } from "../../protocol/pin.ts";

/** The fingerprint of a public key. */
export function toPin(key: KeyObject): Pin {
  const info = key.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(info).digest("base64url")}` as Pin; // by its making
}

/** Whether nobody vouches for a certificate but itself. */
export function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.issuer === certificate.subject && certificate.verify(certificate.publicKey);
}
