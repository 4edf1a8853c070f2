import { createHash, type KeyObject } from "node:crypto";
import type { Pin } from "../../protocol/pin.ts";

/** The fingerprint of a public key. */
export function toPin(key: KeyObject): Pin {
  const info = key.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(info).digest("base64url")}` as Pin; // by its making
}
