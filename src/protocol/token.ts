import * as v from "valibot";
import {
  createSeed,
  isKeyOf,
  isSignedBy,
  PUBLIC_KEY_BYTES,
  SEED_BYTES,
  SIGNATURE_BYTES,
  signWith,
  toPublicKey,
} from "../lib/ed25519.ts";
import { AppError } from "./error.ts";
import { MAX_TOKEN_CHARACTERS, MAX_TOKEN_LINKS } from "./limits.ts";
import { Restriction } from "./restriction.ts";

/** What a server knows a token by: no secret. */
export const TokenId = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{16}$/, "is no id of a token"),
  v.brand("TokenId"),
);
export type TokenId = v.InferOutput<typeof TokenId>;

/** Signed by the key before it: what the next key may do less, and which key that is. */
const Link = v.strictObject({
  key: v.pipe(
    v.string(),
    v.regex(/^[\w-]+$/),
    v.transform((text) => Buffer.from(text, "base64url")),
    v.check((key) => key.length === PUBLIC_KEY_BYTES),
  ),
  restrict: Restriction,
});

/** `fh_<id>`, then `.<link>` for each time that it was narrowed, then `_<private key>`. */
const FORM = /^fh_([0-9a-f]{16})((?:\.[\w-]+)*)_([\w-]{43})$/;

/** What is signed begins so: the same key signs nothing else by mistake. */
const PURPOSE = "farhand token link v1\0";

/** A bearer token: a private key, and the signed chain that leads to it from the one that the server knows the public key of. */
export interface Token {
  readonly id: TokenId;
  /** As they travel: a signature, and behind it what it signs, in JSON. */
  readonly links: readonly Buffer[];
  readonly seed: Buffer;
}

/** What a chain of links says, once every signature has been found right. */
export interface Chain {
  readonly restrictions: readonly Restriction[];
  /** The public keys that it leads through; each names its link. */
  readonly keys: readonly Buffer[];
}

/** A new token, which nothing narrows. */
export function createToken(): Token {
  const id = createSeed().toString("hex").slice(0, 16);
  return { id: v.parse(TokenId, id), links: [], seed: createSeed() };
}

/** As it is written down and presented. Prefix and id let scanners for secrets know it. */
export function formatToken({ id, links, seed }: Token): string {
  const chain = links.map((link) => `.${link.toString("base64url")}`).join("");
  return `fh_${id}${chain}_${seed.toString("base64url")}`;
}

/** Reads a token; undefined for what is none. */
export function findToken(text: string): Token | undefined {
  const [, id, chain = "", seed = ""] = (text.length <= MAX_TOKEN_CHARACTERS && FORM.exec(text)) || [];
  const links = chain.split(".").slice(1);
  if (id === undefined || links.length > MAX_TOKEN_LINKS) return undefined;
  const token: Token = {
    id: v.parse(TokenId, id),
    links: links.map((link) => Buffer.from(link, "base64url")),
    seed: Buffer.from(seed, "base64url"),
  };
  // Base64 has several ways to write the same bytes; one token has one form.
  return token.seed.length === SEED_BYTES && formatToken(token) === text ? token : undefined;
}

/** A token that may do less. Needs no server: the key of the given one signs for the new one's. Throws `too_many`, `invalid_input`. */
export function narrowToken({ id, links, seed }: Token, restriction: Restriction): Token {
  const next = createSeed();
  const key = toPublicKey(next).toString("base64url");
  const payload = Buffer.from(JSON.stringify({ key, restrict: checkRestriction(restriction) }));
  const link = Buffer.concat([signWith(seed, toSigned(id, payload)), payload]);
  const narrowed = { id, links: [...links, link], seed: next };
  if (narrowed.links.length > MAX_TOKEN_LINKS)
    throw new AppError("too_many", `Cannot narrow the token: it was narrowed ${MAX_TOKEN_LINKS} times`);
  if (formatToken(narrowed).length > MAX_TOKEN_CHARACTERS)
    throw new AppError(
      "too_many",
      `Cannot narrow the token: it would take more than ${MAX_TOKEN_CHARACTERS} characters`,
    );
  return narrowed;
}

/** Follows a token's chain from the public key that its id stands for; undefined unless it leads to the private key. */
export function findChain({ id, links, seed }: Token, root: Uint8Array): Chain | undefined {
  let key: Uint8Array = root;
  const restrictions: Restriction[] = [];
  const keys: Buffer[] = [];
  for (const bytes of links) {
    const link = findLink(id, bytes, key);
    if (link === undefined) return undefined;
    restrictions.push(link.restrict);
    keys.push(link.key);
    key = link.key;
  }
  return isKeyOf(seed, key) ? { restrictions, keys } : undefined;
}

/**
 * What a token's links say that they take away, outermost first; undefined where that cannot be read, or a link was not made by
 * the one before it. Only the server can tell whether the first one was made by the token's owner.
 */
export function listRestrictions({ id, links, seed }: Token): readonly Restriction[] | undefined {
  const restrictions: Restriction[] = [];
  let key: Uint8Array | undefined;
  for (const bytes of links) {
    const link = key === undefined ? readPayload(bytes.subarray(SIGNATURE_BYTES)) : findLink(id, bytes, key);
    if (link === undefined) return undefined;
    restrictions.push(link.restrict);
    key = link.key;
  }
  return key === undefined || isKeyOf(seed, key) ? restrictions : undefined;
}

function checkRestriction(restriction: Restriction): Restriction {
  const parsed = v.safeParse(Restriction, restriction);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new AppError(
    "invalid_input",
    `Cannot narrow the token: the restriction is not valid at "${v.getDotPath(issue) ?? "."}": ${issue.message.slice(0, 200)}`,
  );
}

function findLink(id: TokenId, bytes: Buffer, key: Uint8Array): v.InferOutput<typeof Link> | undefined {
  const [signature, payload] = [bytes.subarray(0, SIGNATURE_BYTES), bytes.subarray(SIGNATURE_BYTES)];
  return isSignedBy(key, toSigned(id, payload), signature) ? readPayload(payload) : undefined;
}

function readPayload(payload: Buffer): v.InferOutput<typeof Link> | undefined {
  try {
    const link = v.safeParse(Link, JSON.parse(payload.toString()));
    return link.success ? link.output : undefined;
  } catch {
    return undefined; // signed, and no JSON: of a maker that is not ours
  }
}

function toSigned(id: TokenId, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${PURPOSE}${id}\0`), payload]);
}
