import type { Database } from "bun:sqlite";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";
import { REMOVED_JOB_MEMORY } from "../../protocol/limits.ts";
import type { LimitedLink } from "./grants.ts";

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
   * Counts a call against each of these links, or against none. One that starts a job is counted once, however often it is
   * sent: by its id, for as long as it may be sent again. Throws `forbidden` where a link is used up. `what`: what is refused.
   */
  spend(links: readonly LimitedLink[], job: string | undefined, what: string): void {
    if (links.length === 0) return;
    const now = this.#now();
    this.#database
      .transaction(() => {
        const due = job === undefined ? links : links.filter(({ link }) => !this.#wasSpent(link, job, now));
        for (const { link, uses } of due) {
          if (this.#count(link) >= uses)
            throw new AppError(
              "forbidden",
              `Cannot ${what}: your token was narrowed to ${uses} uses, which are used up`,
            );
        }
        for (const { link } of due) this.#add(link, now);
      })
      .immediate();
  }

  #wasSpent(link: string, job: string, now: number): boolean {
    this.#database.run("DELETE FROM spent WHERE at < ?", [now - REMOVED_JOB_MEMORY]);
    const insert = "INSERT OR IGNORE INTO spent (link, job, at) VALUES (?, ?, ?)";
    return this.#database.run(insert, [link, job, now]).changes === 0;
  }

  #count(link: string): number {
    const row = this.#database.query("SELECT count FROM uses WHERE link = ?").get(link);
    return row === null ? 0 : v.parse(Count, row).count;
  }

  #add(link: string, now: number): void {
    this.#database.run(
      "INSERT INTO uses (link, count, last) VALUES (?1, 1, ?2) ON CONFLICT (link) DO UPDATE SET count = count + 1, last = ?2",
      [link, now],
    );
  }
}
