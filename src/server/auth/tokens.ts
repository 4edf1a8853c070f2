import type { Database, SQLQueryBindings } from "bun:sqlite";
import * as v from "valibot";
import { toPublicKey } from "../../lib/ed25519.ts";
import { AppError } from "../../protocol/error.ts";
import { createToken, formatToken, type Token, TokenId } from "../../protocol/token.ts";

/** Milliseconds for which a token that has expired is still listed. */
const EXPIRED_MEMORY = 7 * 86_400_000;
/** Tokens that one user has by logging in: of more, the one that was of no use for longest goes. */
export const MAX_LOGINS = 100;
/** Characters of a name before its id. */
const MAX_STEM = 55;

/** A row, as it is kept. */
const Row = v.object({
  id: TokenId,
  name: v.string(),
  user: v.string(),
  roles: v.pipe(v.string(), v.parseJson(), v.array(v.string())),
  /** What it was made by. */
  origin: v.picklist(["create", "join", "login"]),
  /** The public key. */
  key: v.instance(Uint8Array),
  /** Moments are milliseconds since 1970. */
  created: v.number(),
  /** Null for never. */
  expires: v.nullable(v.number()),
  /** When it was presented last, and from where. */
  used: v.nullable(v.number()),
  source: v.nullable(v.string()),
});

/** What the server knows of a token: nothing that lets anybody in. */
export type StoredToken = v.InferOutput<typeof Row>;

/** What a new token is to be. */
export interface TokenWish {
  readonly name: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly origin: StoredToken["origin"];
  /** Milliseconds; infinite for ever. */
  readonly lifetime: number;
}

/** A new token, whose text is told this once. */
export interface Minted {
  readonly text: string;
  readonly stored: StoredToken;
}

/** When a token was presented last, and from where. */
export interface Use {
  readonly used: number;
  readonly source: string;
}

/** The tokens in `auth.db`. */
export class Tokens {
  readonly #database: Database;
  readonly #now: () => number;

  /** `now`: the wall clock. */
  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** All of them, by name. */
  list(): readonly StoredToken[] {
    return v.parse(v.array(Row), this.#database.query("SELECT * FROM tokens ORDER BY name, created").all());
  }

  /** Throws `already_exists`. */
  create(wish: TokenWish): Minted {
    return this.#database
      .transaction(() => {
        this.#forgetExpired();
        const isOver = ({ expires }: StoredToken) => expires !== null && expires <= this.#now();
        if (!this.#find(wish.name).every(isOver))
          throw new AppError(
            "already_exists",
            `Cannot create token "${wish.name}": there is one; farhandd token rotate gives it a new key, token revoke ends it`,
          );
        this.#database.run("DELETE FROM tokens WHERE name = ?", [wish.name]);
        return this.#insert(createToken(), wish);
      })
      .immediate();
  }

  /** Makes one for somebody who gives it no name: that is `stem` and the beginning of its id. For use in a transaction. */
  mint(stem: string, wish: Omit<TokenWish, "name">): Minted {
    this.#forgetExpired();
    if (wish.origin === "login")
      this.#database.run(
        `DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE user = ? AND origin = 'login'
         ORDER BY coalesce(used, created) DESC LIMIT -1 OFFSET ?)`,
        [wish.user, MAX_LOGINS - 1],
      );
    const token = createToken();
    return this.#insert(token, { ...wish, name: `${stem.slice(0, MAX_STEM)}-${token.id.slice(0, 8)}` });
  }

  /** Ends those of this name, or the one with this id. Throws `not_found`. */
  revoke(ref: string): readonly StoredToken[] {
    return this.#database
      .transaction(() => {
        const found = this.#find(ref);
        if (found.length === 0) throw unknown("revoke", ref);
        for (const { id } of found) this.#database.run("DELETE FROM tokens WHERE id = ?", [id]);
        return found;
      })
      .immediate();
  }

  /**
   * Gives a name a new key, for as long as the old one had unless `lifetime` (ms) is said. What had the name ends now, or
   * `overlap` ms later. Throws `not_found`.
   */
  rotate(ref: string, lifetime: number | undefined, overlap: number): Minted {
    return this.#database
      .transaction(() => {
        const last = this.#find(ref).at(-1);
        if (last === undefined) throw unknown("rotate", ref);
        const { name, user, roles, origin, created, expires } = last;
        const until = this.#now() + overlap;
        if (overlap === 0) this.#database.run("DELETE FROM tokens WHERE name = ?", [name]);
        else
          this.#database.run("UPDATE tokens SET expires = min(coalesce(expires, ?1), ?1) WHERE name = ?2", [
            until,
            name,
          ]);
        const same = expires === null ? Number.POSITIVE_INFINITY : expires - created;
        return this.#insert(createToken(), { name, user, roles, origin, lifetime: lifetime ?? same });
      })
      .immediate();
  }

  /** Ends those of a user, or only those that he has by logging in. Answers how many. */
  revokeOf(user: string, origin?: StoredToken["origin"]): number {
    const more = origin === undefined ? "" : " AND origin = ?";
    const given: SQLQueryBindings[] = origin === undefined ? [user] : [user, origin];
    return this.#database.run(`DELETE FROM tokens WHERE user = ?${more}`, given).changes;
  }

  /** Writes down when tokens were used last. */
  note(uses: ReadonlyMap<string, Use>): void {
    const note = this.#database.query("UPDATE tokens SET used = ?, source = ? WHERE id = ?");
    this.#database
      .transaction(() => {
        for (const [id, { used, source }] of uses) note.run(used, source, id);
      })
      .immediate();
  }

  #insert(token: Token, { name, user, roles, origin, lifetime }: TokenWish): Minted {
    const created = this.#now();
    const stored: StoredToken = {
      id: token.id,
      name,
      user,
      roles: [...roles],
      origin,
      key: new Uint8Array(toPublicKey(token.seed)),
      created,
      expires: Number.isFinite(lifetime) ? created + lifetime : null,
      used: null,
      source: null,
    };
    this.#database.run(
      "INSERT INTO tokens (id, name, user, roles, origin, key, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      [token.id, name, user, JSON.stringify(roles), origin, stored.key, created, stored.expires],
    );
    return { text: formatToken(token), stored };
  }

  /** By name, or by id; the oldest first. */
  #find(ref: string): readonly StoredToken[] {
    const rows = this.#database.query(
      "SELECT * FROM tokens WHERE name = ?1 OR id = ?1 ORDER BY created, rowid",
    );
    return v.parse(v.array(Row), rows.all(ref));
  }

  #forgetExpired(): void {
    this.#database.run("DELETE FROM tokens WHERE expires < ?", [this.#now() - EXPIRED_MEMORY]);
  }
}

function unknown(verb: string, ref: string): AppError {
  return new AppError(
    "not_found",
    `Cannot ${verb} token "${ref.slice(0, 64)}": there is none of that name or id; farhandd token list shows them`,
  );
}
