import * as v from "valibot";

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
