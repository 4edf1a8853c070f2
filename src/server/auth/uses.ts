import type { Database } from "bun:sqlite";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";
import { MAX_COUNTED_LINKS, REMOVED_JOB_MEMORY } from "../../protocol/limits.ts";
import type { LimitedLink } from "./grants.ts";
import type { Identity } from "./identity.ts";
import { LOCAL } from "./name.ts";

const Count = v.object({ count: v.number() });

/** How often links of narrowed tokens were used, in `auth.db`: written there before what it is counted for is done. */
export class Uses {
  readonly #database: Database;
  readonly #now: () => number;

  /** `now`: the wall clock. */
  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Counts a call against each link of somebody's token that may be used only so often, or against none. One that starts a
   * job is counted once, however often it is sent: by its id, for as long as it may be sent again. Throws `forbidden` where a
   * link is used up, `too_many`, and `unavailable` where it cannot be counted. `what`: what is refused.
   */
  spend({ token, chain, grants }: Identity, job: string | undefined, what: string): void {
    const links = grants.limitedLinks(chain);
    if (links.length === 0) return;
    try {
      this.#database
        .transaction(() => {
          const due = job === undefined ? links : links.filter(({ link }) => this.#claim(link, job));
          for (const link of due) this.#add(link, token, what);
        })
        .immediate();
    } catch (error) {
      if (error instanceof AppError) throw error;
      const why = "the uses of your token cannot be counted just now; try again";
      throw new AppError("unavailable", `Cannot ${what}: ${why}`, { cause: error });
    }
  }

  /** To be called when a server starts: this machine's own token of an earlier start lets in nobody any more. */
  begin(): void {
    this.#database.run("DELETE FROM uses WHERE token = ?", [LOCAL]);
    this.#forgetOver();
  }

  /** Whether a link was not used for a job before. */
  #claim(link: string, job: string): boolean {
    const now = this.#now();
    this.#database.run("DELETE FROM spent WHERE at < ?", [now - REMOVED_JOB_MEMORY]);
    const insert = "INSERT OR IGNORE INTO spent (link, job, at) VALUES (?, ?, ?)";
    return this.#database.run(insert, [link, job, now]).changes > 0;
  }

  #add({ link, uses, expires }: LimitedLink, token: string, what: string): void {
    const row = this.#database.query("SELECT count FROM uses WHERE link = ?").get(link);
    if (row === null) this.#makeRoom(token, what);
    else if (v.parse(Count, row).count >= uses)
      throw new AppError(
        "forbidden",
        `Cannot ${what}: your token was narrowed to ${uses} uses, which are used up`,
      );
    this.#database.run(
      `INSERT INTO uses (link, token, count, expires) VALUES (?, ?, 1, ?)
       ON CONFLICT (link) DO UPDATE SET count = count + 1`,
      [link, token, expires ?? null],
    );
  }

  /** A count is kept for as long as its link could be used: anybody can make more of those than anybody could keep. */
  #makeRoom(token: string, what: string): void {
    if (this.#countLinks(token) < MAX_COUNTED_LINKS) return;
    this.#forgetOver();
    if (this.#countLinks(token) < MAX_COUNTED_LINKS) return;
    const why = `${MAX_COUNTED_LINKS} tokens with counted uses were made from one; let them expire`;
    throw new AppError("too_many", `Cannot ${what}: ${why}, or have that one rotated`);
  }

  #countLinks(token: string): number {
    const row = this.#database.query("SELECT count(*) AS count FROM uses WHERE token = ?").get(token);
    return v.parse(Count, row).count;
  }

  #forgetOver(): void {
    this.#database.run(
      "DELETE FROM uses WHERE expires <= ? OR (token <> ? AND token NOT IN (SELECT id FROM tokens))",
      [this.#now(), LOCAL],
    );
  }
}
