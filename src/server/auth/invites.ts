import type { Database } from "bun:sqlite";
import { createHash, randomBytes } from "node:crypto";
import * as v from "valibot";
import type { Minted, Tokens } from "./tokens.ts";

/** Milliseconds for which an invitation is good. */
export const INVITE_LIFE = 600_000;

const Row = v.object({
  user: v.string(),
  roles: v.pipe(v.string(), v.parseJson(), v.array(v.string())),
  lifetime: v.nullable(v.number()),
});

/** What an invitation is for. */
export interface InviteWish {
  readonly user: string;
  readonly roles: readonly string[];
  /** Milliseconds for which it is good. */
  readonly life: number;
  /** Milliseconds for which the token is good that it is traded for; infinite for ever. */
  readonly lifetime: number;
}

/** The invitations in `auth.db`, each of which is good for one token. */
export class Invites {
  readonly #database: Database;
  readonly #tokens: Tokens;
  readonly #now: () => number;

  /** `now`: the wall clock. */
  constructor(database: Database, tokens: Tokens, now: () => number) {
    this.#database = database;
    this.#tokens = tokens;
    this.#now = now;
  }

  /** Answers the secret, which is told this once. */
  create({ user, roles, life, lifetime }: InviteWish): string {
    const secret = randomBytes(32).toString("base64url");
    const now = this.#now();
    this.#database
      .transaction(() => {
        this.#database.run("DELETE FROM invites WHERE expires <= ?", [now]);
        this.#database.run(
          "INSERT INTO invites (digest, user, roles, expires, lifetime) VALUES (?, ?, ?, ?, ?)",
          [
            digest(secret),
            user,
            JSON.stringify(roles),
            now + life,
            Number.isFinite(lifetime) ? lifetime : null,
          ],
        );
      })
      .immediate();
    return secret;
  }

  /**
   * Trades a secret for a token, or answers undefined for one that is wrong, was used, or has expired. Either the token was made
   * or the invitation is still good, whatever happens. `client`: what the other machine calls itself.
   */
  claim(secret: string, client: string | undefined): Minted | undefined {
    return this.#database
      .transaction(() => {
        const row = this.#database
          .query("DELETE FROM invites WHERE digest = ? AND expires > ? RETURNING user, roles, lifetime")
          .get(digest(secret), this.#now());
        if (row === null) return undefined;
        const { user, roles, lifetime } = v.parse(Row, row);
        const wish = { user, roles, origin: "join" as const, lifetime: lifetime ?? Number.POSITIVE_INFINITY };
        return this.#tokens.mint(toStem(user, client), wish);
      })
      .immediate();
  }
}

/** What the name of a token begins with that somebody gets who gives it no name: `alice@laptop`. */
export function toStem(user: string, client: string | undefined): string {
  const place = client?.replace(/[^\w.-]+/g, "-").replace(/^-+|-+$/g, "");
  return place ? `${user}@${place}` : user;
}

function digest(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
