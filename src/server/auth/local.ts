import { toPublicKey } from "../../lib/ed25519.ts";
import { createToken, findChain, findToken, formatToken } from "../../protocol/token.ts";
import { Grants } from "./grants.ts";
import type { Identity } from "./identity.ts";
import { ADMIN } from "./role.ts";

/** Answers who presents a token from where; undefined for a stranger, in the same time whatever is wrong with it. */
export type Authenticate = (presented: string | undefined, source: string) => Identity | undefined;

/** The token of one start, for this machine's own user, and who presents it. Only its public key is kept. */
export function openLocalToken(): { readonly token: string; readonly authenticate: Authenticate } {
  const token = createToken();
  const key = toPublicKey(token.seed);
  return {
    token: formatToken(token),
    authenticate(presented, source) {
      const found = presented === undefined ? undefined : findToken(presented);
      const chain = found?.id === token.id ? findChain(found, key) : undefined;
      if (chain === undefined) return undefined;
      const grants = new Grants([ADMIN], chain.restrictions);
      if (grants.expires !== undefined && Date.now() >= grants.expires) return undefined;
      return {
        owner: "local",
        token: "local",
        chain: chain.keys.map((key) => key.toString("base64url")),
        source,
        grants,
      };
    },
  };
}

/** The token of an `Authorization: Bearer` header. */
export function toBearer(header: string | undefined): string | undefined {
  return /^Bearer ([\w.-]+)$/i.exec(header ?? "")?.[1];
}
