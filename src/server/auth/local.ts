import { toPublicKey } from "../../lib/ed25519.ts";
import { createToken, formatToken } from "../../protocol/token.ts";
import type { Credential } from "./authenticator.ts";
import type { Identity } from "./identity.ts";
import { LOCAL } from "./name.ts";
import { ADMIN } from "./role.ts";

/** Answers who presents a token from where; undefined for a stranger, in the same time whatever is wrong with it. */
export type Authenticate = (presented: string | undefined, source: string) => Identity | undefined;

/** The token of one start, for this machine's own user. Only its public key is kept. */
export function createLocalToken(): { readonly token: string; readonly credential: Credential } {
  const token = createToken();
  return {
    token: formatToken(token),
    credential: {
      id: token.id,
      shown: LOCAL,
      owner: LOCAL,
      key: toPublicKey(token.seed),
      roles: [ADMIN],
      expires: Number.POSITIVE_INFINITY,
    },
  };
}

/** The token of an `Authorization: Bearer` header. */
export function toBearer(header: string | undefined): string | undefined {
  return /^Bearer ([\w.-]+)$/i.exec(header ?? "")?.[1];
}
