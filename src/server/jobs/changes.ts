import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import type { StartRecord } from "../../ledger/start.ts";
import type { JobId } from "../../protocol/id.ts";

/** Jobs whose last change is remembered. */
const REMEMBERED = 10_000;

type Whose = Pick<StartRecord, "owner" | "via">;

/** One job, and how many changes there had been with its last one. */
export interface Change {
  readonly id: JobId;
  /** Who may hear of it; undefined where that cannot be told any more. */
  readonly whose: Whose | undefined;
  readonly revision: number;
}

/**
 * Which jobs changed last, in that order. A cursor names a moment of this server's life; those of another life, or of
 * longer ago than is remembered, are not known.
 */
export class Changes {
  readonly #life = crypto.randomUUID();
  readonly #bell = new Bell();
  /** The one that changed longest ago first. */
  readonly #last = new Map<JobId, Change>();
  #revision = 0;
  /** The newest change that is not remembered. */
  #forgotten = 0;

  /** Names this moment, or that of a change. */
  cursor(revision: number = this.#revision): string {
    return `${this.#life}.${revision}`;
  }

  note(id: JobId, whose: Whose | undefined): void {
    this.#last.delete(id);
    this.#last.set(id, {
      id,
      whose: whose && { owner: whose.owner, ...(whose.via && { via: whose.via }) },
      revision: ++this.#revision,
    });
    const [oldest] = this.#last.values();
    if (oldest !== undefined && this.#last.size > REMEMBERED) {
      this.#last.delete(oldest.id);
      this.#forgotten = oldest.revision;
    }
    this.#bell.ring();
  }

  /** Resolves with what changed after a cursor once there is something; at once with undefined if it is not known. */
  async since(cursor: string, signal: AbortSignal): Promise<readonly Change[] | undefined> {
    const revision = this.#toRevision(cursor);
    if (revision === undefined) return undefined;
    for (;;) {
      if (revision < this.#forgotten) return undefined;
      const rung = this.#bell.wait();
      if (revision < this.#revision)
        return [...this.#last.values()].filter((change) => change.revision > revision);
      await abortable(rung, signal);
    }
  }

  #toRevision(cursor: string): number | undefined {
    const [life, revision = ""] = cursor.split(".");
    const known = life === this.#life && /^\d{1,15}$/.test(revision);
    return known && Number(revision) <= this.#revision ? Number(revision) : undefined;
  }
}
