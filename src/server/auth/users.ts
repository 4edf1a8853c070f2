import type { Database } from "bun:sqlite";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";
import type { Tokens } from "./tokens.ts";

/** A row, as it is kept. */
const Row = v.object({
  name: v.string(),
  /** Argon2id of the password, in its own notation. */
  hash: v.string(),
  roles: v.pipe(v.string(), v.parseJson(), v.array(v.string())),
  /** Milliseconds since 1970. */
  created: v.number(),
});

/** Somebody who may log in with a password. */
export type StoredUser = v.InferOutput<typeof Row>;

/** The users in `auth.db`. Whoever only has a token need be none of them. */
export class Users {
  readonly #database: Database;
  readonly #tokens: Tokens;
  readonly #now: () => number;

  /** `now`: the wall clock. */
  constructor(database: Database, tokens: Tokens, now: () => number) {
    this.#database = database;
    this.#tokens = tokens;
    this.#now = now;
  }

  list(): readonly StoredUser[] {
    return v.parse(v.array(Row), this.#database.query("SELECT * FROM users ORDER BY name").all());
  }

  find(name: string): StoredUser | undefined {
    const row = this.#database.query("SELECT * FROM users WHERE name = ?").get(name);
    return row === null ? undefined : v.parse(Row, row);
  }

  /** Throws `not_found`. */
  get(name: string): StoredUser {
    const user = this.find(name);
    if (user === undefined) throw unknown("find", name);
    return user;
  }

  /** Throws `already_exists`. */
  add(name: string, hash: string, roles: readonly string[]): void {
    const { changes } = this.#database.run(
      "INSERT INTO users (name, hash, roles, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      [name, hash, JSON.stringify(roles), this.#now()],
    );
    if (changes === 0)
      throw new AppError(
        "already_exists",
        `Cannot add user "${name}": there is one of that name; farhandd user passwd and user roles change him`,
      );
  }

  /** A new password also ends what the old one was traded for: answers how many tokens. Throws `not_found`. */
  setHash(name: string, hash: string): number {
    return this.#database
      .transaction(() => {
        const { changes } = this.#database.run("UPDATE users SET hash = ? WHERE name = ?", [hash, name]);
        if (changes === 0) throw unknown("change the password of", name);
        return this.#tokens.revokeOf(name, "login");
      })
      .immediate();
  }

  /** What he has no more, his tokens have no more either. Throws `not_found`. */
  setRoles(name: string, roles: readonly string[]): void {
    const given = [JSON.stringify(roles), name];
    const { changes } = this.#database.run("UPDATE users SET roles = ? WHERE name = ?", given);
    if (changes === 0) throw unknown("change the roles of", name);
  }

  /** With his tokens and invitations; also somebody who has only these. Answers how many tokens. Throws `not_found`. */
  remove(name: string): number {
    return this.#database
      .transaction(() => {
        const users = this.#database.run("DELETE FROM users WHERE name = ?", [name]).changes;
        const invites = this.#database.run("DELETE FROM invites WHERE user = ?", [name]).changes;
        const tokens = this.#tokens.revokeOf(name);
        if (users + invites + tokens === 0) throw unknown("remove", name);
        return tokens;
      })
      .immediate();
  }
}

function unknown(what: string, name: string): AppError {
  return new AppError(
    "not_found",
    `Cannot ${what} user "${name}": there is none of that name; farhandd user list shows them`,
  );
}
