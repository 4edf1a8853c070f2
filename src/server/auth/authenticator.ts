import { randomBytes } from "node:crypto";
import { describeError, type Log } from "../../lib/log.ts";
import { PUBLIC_KEY_BYTES } from "../../lib/ed25519.ts";
import { findChain, findToken, type TokenId } from "../../protocol/token.ts";
import { Grants } from "./grants.ts";
import type { Identity } from "./identity.ts";
import { LOCAL } from "./name.ts";
import type { Role } from "./role.ts";
import type { Roles } from "./roles.ts";
import type { Store } from "./store.ts";
import type { Use } from "./tokens.ts";

/** Milliseconds for which what was read last counts though it cannot be read again: within the five of a revocation. */
const STALE_LIFE = 3_000;

/** What one token stands for. */
export interface Credential {
  readonly id: TokenId;
  /** What an identity shows as its token. */
  readonly shown: string;
  readonly owner: string;
  /** The public key. */
  readonly key: Uint8Array;
  readonly roles: readonly Role[];
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** On what ground somebody was let in. */
interface Ground {
  readonly id: TokenId;
  readonly roles: readonly Role[];
  /** Milliseconds since 1970: the end of what his token was narrowed to. Its own may still be moved. */
  readonly expires: number;
}

export interface AuthenticatorOptions {
  /** This start's own token. */
  readonly local: Credential;
  readonly store: Pick<Store, "hasChanged" | "tokens" | "users">;
  readonly roles: () => Roles;
  readonly log: Log;
  /** The wall clock. */
  readonly now: () => number;
}

/** Knows everybody who may be let in. The store may be changed by others: what was read of it is read again then. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  #credentials: ReadonlyMap<TokenId, Credential> = new Map();
  /** Of each identity that it has made. */
  readonly #grounds = new WeakMap<Identity, Ground>();
  /** What tokens were used since that was asked last. */
  #uses = new Map<TokenId, Use>();
  /** When the next of those who were let in runs out. */
  #soonest = Number.POSITIVE_INFINITY;
  /** Whether something was read again since that was asked last. */
  #hasChanged = false;
  /** Since when (by the monotonic clock) the store could not be read. */
  #unreadSince: number | undefined;
  /** In place of the key of a token that there is not: the work is the same. */
  readonly #nobody = randomBytes(PUBLIC_KEY_BYTES);

  /** Throws `state_unusable` when the store cannot be read. */
  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#credentials = this.#read();
  }

  /** Who presents a token from where; undefined for a stranger, after the same work whatever is wrong with it. */
  authenticate(presented: string | undefined, source: string): Identity | undefined {
    const token = presented === undefined ? undefined : findToken(presented);
    if (token === undefined) return undefined;
    this.#look();
    const found = this.#credentials.get(token.id);
    const chain = findChain(token, found?.key ?? this.#nobody);
    if (found === undefined || chain === undefined) return undefined;
    const ends = chain.restrictions.map(({ expires = Number.POSITIVE_INFINITY }) => expires * 1_000);
    const ground = { id: found.id, roles: found.roles, expires: Math.min(...ends) };
    if (!this.#isGood(ground)) return undefined;
    if (found.shown !== LOCAL) this.#uses.set(found.id, { used: this.#options.now(), source });
    return this.#admit(ground, {
      owner: found.owner,
      token: found.shown,
      chain: chain.keys.map((key) => key.toString("base64url")),
      source,
      grants: new Grants(found.roles, chain.restrictions),
    });
  }

  /** Whether somebody who was let in still would be, with all the roles that he had. */
  isStanding(identity: Identity): boolean {
    const ground = this.#grounds.get(identity);
    if (ground === undefined || !this.#isGood(ground)) return false;
    this.#soonest = Math.min(this.#soonest, this.#toEnd(ground));
    const roles = this.#credentials.get(ground.id)?.roles ?? [];
    return ground.roles.every((role) => roles.some((one) => one === role || Bun.deepEquals(one, role)));
  }

  /** The same somebody at another address, if he is still to be let in. */
  move(identity: Identity, source: string): Identity | undefined {
    this.#look();
    const ground = this.#grounds.get(identity);
    if (ground === undefined || !this.isStanding(identity)) return undefined;
    return this.#admit(ground, { ...identity, source });
  }

  /** Answers whether somebody may have to go who was let in since this was asked before: something was changed, or a time is over. */
  runOnce(): boolean {
    this.#look();
    const isOver = this.#options.now() >= this.#soonest;
    if (isOver) this.#soonest = Number.POSITIVE_INFINITY; // those who stay will tell
    const hasChanged = this.#hasChanged;
    this.#hasChanged = false;
    return hasChanged || isOver;
  }

  /** Reads everything again. What cannot be read for a while lets nobody in any more. */
  refresh(): void {
    this.#hasChanged = true;
    try {
      this.#credentials = this.#read();
      this.#unreadSince = undefined;
    } catch (error) {
      this.#doubt(error);
    }
  }

  /** Sees what another process has changed: also a token that was made a moment ago. */
  #look(): void {
    try {
      if (this.#options.store.hasChanged() || this.#unreadSince !== undefined) this.refresh();
    } catch (error) {
      this.#doubt(error);
    }
  }

  #doubt(error: unknown): void {
    const { local, log } = this.#options;
    const now = performance.now();
    this.#unreadSince ??= now;
    if (now - this.#unreadSince < STALE_LIFE || this.#isShut) return;
    const why = { error: describeError(error) };
    log.error("tokens cannot be read: nobody is let in but this machine's own user", why);
    this.#credentials = new Map([[local.id, local]]);
    this.#hasChanged = true;
  }

  get #isShut(): boolean {
    return this.#credentials.size <= 1;
  }

  /** When which token was presented last, of those that were since this was called before. */
  takeUses(): ReadonlyMap<TokenId, Use> {
    const uses = this.#uses;
    this.#uses = new Map();
    return uses;
  }

  #admit(ground: Ground, identity: Identity): Identity {
    this.#grounds.set(identity, ground);
    this.#soonest = Math.min(this.#soonest, this.#toEnd(ground));
    return identity;
  }

  #isGood(ground: Ground): boolean {
    return this.#options.now() < this.#toEnd(ground);
  }

  /** Milliseconds since 1970; 0 where the token is gone. */
  #toEnd({ id, expires }: Ground): number {
    return Math.min(this.#credentials.get(id)?.expires ?? 0, expires);
  }

  #read(): ReadonlyMap<TokenId, Credential> {
    const { local, store, roles: toRoles } = this.#options;
    const roles = toRoles();
    const users = new Map(store.users.list().map((user) => [user.name, user]));
    const credentials = store.tokens.list().map(({ id, user, key, expires, roles: names }): Credential => {
      const has = users.get(user)?.roles;
      return {
        id,
        shown: id,
        owner: user,
        key,
        expires: expires ?? Number.POSITIVE_INFINITY,
        // What its user has no more it has no more either; of what is not configured nothing is known.
        roles: names
          .filter((name) => has === undefined || has.includes(name))
          .flatMap((name) => roles.get(name) ?? []),
      };
    });
    return new Map([local, ...credentials].map((credential) => [credential.id, credential]));
  }
}
