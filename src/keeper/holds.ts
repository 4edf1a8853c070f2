import { after } from "../lib/abort.ts";
import type { HolderId } from "../protocol/id.ts";

/** Holds of one job whose clients are gone; of more, those go first that have been without one for the longest. */
export const MAX_ORPHANS = 1_024;

type Stream = "stdout" | "stderr";

interface Hold {
  position: number;
  readonly discarded: Set<Stream>;
  grace?: Disposable;
}

export interface HoldsOptions {
  /** Called whenever the job may have become free to go on. */
  readonly onChange: () => void;
  /** Called when the last hold has ended because its client did not come back. */
  readonly onAbandoned: () => void;
  /** Milliseconds that a hold survives its client. */
  readonly grace: () => number;
}

/** The readers that a job waits for, and how far each has come. */
export class Holds {
  readonly #holds = new Map<HolderId, Hold>();
  /** Those whose clients are gone, the longest first. */
  readonly #orphans = new Set<HolderId>();
  readonly #options: HoldsOptions;

  constructor(options: HoldsOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#holds.size === 0;
  }

  /** The position that no holder needs anything below; infinite when nobody holds the job. */
  get released(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { position } of this.#holds.values()) least = Math.min(least, position);
    return least;
  }

  attach(id: HolderId, position: number): void {
    this.release(id);
    this.#holds.set(id, { position, discarded: new Set() });
  }

  move(id: HolderId, position: number): void {
    const hold = this.#holds.get(id);
    if (hold === undefined || position <= hold.position) return;
    hold.position = position;
    this.#options.onChange();
  }

  release(id: HolderId): void {
    this.#holds.get(id)?.grace?.[Symbol.dispose]();
    this.#orphans.delete(id);
    if (this.#holds.delete(id)) this.#options.onChange();
  }

  /** Its client is gone: the hold ends after the grace unless it is attached again. */
  orphan(id: HolderId): void {
    const hold = this.#holds.get(id);
    if (hold === undefined || hold.grace !== undefined) return;
    hold.grace = after(this.#options.grace(), () => this.#abandon(id));
    this.#orphans.add(id);
    const [oldest] = this.#orphans;
    if (this.#orphans.size > MAX_ORPHANS && oldest !== undefined) this.#abandon(oldest);
  }

  /** The front is gone, and every holder's client with it. */
  orphanAll(): void {
    for (const id of this.#holds.keys()) this.orphan(id);
  }

  /** Notes that a holder does not read a stream any more. */
  discard(id: HolderId, stream: Stream): void {
    this.#holds.get(id)?.discarded.add(stream);
    this.#options.onChange();
  }

  /** Whether the job is held, and none of its holders reads this stream any more. */
  isUnread(stream: Stream): boolean {
    return !this.isEmpty && [...this.#holds.values()].every(({ discarded }) => discarded.has(stream));
  }

  clear(): void {
    for (const id of [...this.#holds.keys()]) this.release(id);
  }

  #abandon(id: HolderId): void {
    this.release(id);
    if (this.isEmpty) this.#options.onAbandoned();
  }
}
