import type { Identity } from "../auth/identity.ts";

/** What waits for its client, whose it is. */
interface Waiting {
  readonly identity: Pick<Identity, "owner">;
}

/** Sessions without a connection. When there are too many, whoever has most of them loses one, and nobody else. */
export class Deserted<S extends Waiting> {
  readonly #most: number;
  /** The longest deserted first. */
  readonly #sessions = new Set<S>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Answers one that has to be given up for it: that is left to the caller. */
  add(session: S): S | undefined {
    this.#sessions.add(session);
    if (this.#sessions.size <= this.#most) return undefined;
    const counts = new Map<string, number>();
    let greediest = { owner: "", count: 0 };
    for (const { identity } of this.#sessions) {
      const count = (counts.get(identity.owner) ?? 0) + 1;
      counts.set(identity.owner, count);
      if (count > greediest.count) greediest = { owner: identity.owner, count };
    }
    return [...this.#sessions].find(({ identity }) => identity.owner === greediest.owner);
  }

  delete(session: S): void {
    this.#sessions.delete(session);
  }
}
