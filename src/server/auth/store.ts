import type { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";
import type { Admitted } from "./backend.ts";
import { openAuthDatabase } from "./database.ts";
import { Invites } from "./invites.ts";
import { type Minted, Tokens } from "./tokens.ts";
import { Users } from "./users.ts";
import { Uses } from "./uses.ts";

const FILE = "auth.db";
const DataVersion = v.object({ data_version: v.number() });

/** Everything that lets somebody in, as it is kept in `auth.db`. */
export class Store implements Disposable {
  readonly tokens: Tokens;
  readonly users: Users;
  readonly invites: Invites;
  readonly uses: Uses;
  readonly #path: string;
  readonly #database: Database;
  readonly #file: number;
  #version = 0;

  /** `now`: the wall clock. Throws `state_unusable`. */
  constructor(state: string, now: () => number) {
    this.#path = join(state, FILE);
    this.#database = openAuthDatabase(this.#path);
    this.#file = statSync(this.#path).ino;
    this.tokens = new Tokens(this.#database, now);
    this.users = new Users(this.#database, this.tokens, now);
    this.invites = new Invites(this.#database, this.tokens, now);
    this.uses = new Uses(this.#database, now);
  }

  /** Bounds how long (ms) something waits for another process that writes: a server does much else meanwhile. */
  hurry(patience: number): void {
    this.#database.run(`PRAGMA busy_timeout = ${patience}`);
  }

  /** Whether another process has changed it since this was asked last. Throws `state_unusable` when it is not the same file. */
  hasChanged(): boolean {
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino !== this.#file)
      throw new AppError(
        "state_unusable",
        `Cannot read "${this.#path}": it was removed or replaced; restart farhandd`,
      );
    const row = this.#database.query("PRAGMA data_version").get();
    const { data_version: version } = v.parse(DataVersion, row);
    const hasChanged = version !== this.#version;
    this.#version = version;
    return hasChanged;
  }

  /** A token for somebody whose password was right; undefined where it is another one by now. `lifetime`: in milliseconds. */
  login({ user, roles, hash }: Admitted, stem: string, lifetime: number): Minted | undefined {
    return this.#database
      .transaction(() => {
        if (hash !== undefined && this.users.find(user)?.hash !== hash) return undefined;
        return this.tokens.mint(stem, { user, roles, origin: "login", lifetime });
      })
      .immediate();
  }

  /** What was committed is in the one file then, of which somebody may make a copy. */
  settle(): void {
    this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
