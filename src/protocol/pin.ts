import * as v from "valibot";
import { AppError } from "./error.ts";

/**
 * What a server is known by where no authority vouches for it: the SHA-256 of its public key (SubjectPublicKeyInfo, as in RFC 7469),
 * so that a certificate that is renewed with the same key is still its own.
 */
export const Pin = v.pipe(
  v.string(),
  v.regex(/^sha256:[A-Za-z0-9_-]{43}$/, "is no fingerprint: it is written sha256: and 43 characters"),
  v.brand("Pin"),
);
export type Pin = v.InferOutput<typeof Pin>;

/** Reads a pin; `what`: where it was given, such as `--pin`. Throws `invalid_input`. */
export function parsePin(text: string, what: string): Pin {
  const pin = v.safeParse(Pin, text);
  if (pin.success) return pin.output;
  throw new AppError("invalid_input", `Cannot use ${what} "${text}": it ${pin.issues[0].message}`);
}

/** A certificate, as Node has it: of it the key counts, and nothing else. */
export interface Keyed {
  readonly publicKey: { export(options: { type: "spki"; format: "der" }): Uint8Array };
}

/** That of the key of a certificate. */
export function toPin({ publicKey }: Keyed): Pin {
  const info = publicKey.export({ type: "spki", format: "der" });
  return `sha256:${new Bun.CryptoHasher("sha256").update(info).digest("base64url")}` as Pin; // by its making
}
