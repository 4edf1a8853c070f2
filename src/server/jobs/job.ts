import { abortable } from "../../lib/abort.ts";
import type { StartRecord } from "../../ledger/start.ts";
import type { HolderId } from "../../protocol/id.ts";
import type { Exit } from "../../protocol/packet.ts";
import type { Labels } from "../../protocol/terms.ts";
import type { KeeperLink } from "../keepers/keeper-link.ts";

/** How far a job has come; each report is newer than the last. */
export interface JobStanding {
  /** The packet that its ledger has next. */
  readonly next: number;
  /** The position up to which the ledger may be read. */
  readonly position: number;
  readonly exit?: Exit | undefined;
}

/** A job as the front knows it: one that a keeper keeps, or one that is over and has only its ledger left. */
export class Job {
  #start: StartRecord;
  /** What reaches the job's keeper; undefined once the job is closed or lost. */
  keeper: KeeperLink | undefined;
  /** Clients that hold the job at the moment. */
  #holders = 0;
  /** The holder that the keeper took with the spawn, until its channel is attached. */
  startedFor: HolderId | undefined;
  /** Who has each hold, told when another takes it. */
  readonly #readers = new Map<HolderId, () => void>();
  readonly #listeners = new Set<() => void>();
  #standing: JobStanding;
  #closed: boolean;

  /** `isClosed`: whether its ledger is complete, as that of a job without a keeper mostly is. */
  constructor(
    start: StartRecord,
    keeper: KeeperLink | undefined,
    standing: JobStanding,
    isClosed = keeper === undefined,
  ) {
    this.#start = start;
    this.keeper = keeper;
    this.#standing = standing;
    this.#closed = isClosed;
  }

  /** What it was asked to be, with the labels that it has now. */
  get start(): StartRecord {
    return this.#start;
  }

  get holders(): number {
    return this.#holders;
  }

  set holders(holders: number) {
    this.#holders = holders;
    this.#tell();
  }

  get next(): number {
    return this.#standing.next;
  }

  get position(): number {
    return this.#standing.position;
  }

  get exit(): Exit | undefined {
    return this.#standing.exit;
  }

  /** Whether its ledger is complete. */
  get isClosed(): boolean {
    return this.#closed;
  }

  advance(standing: JobStanding): void {
    this.#standing = standing;
    this.#tell();
  }

  relabel(labels: Labels): void {
    this.#start = { ...this.#start, labels };
  }

  /** Its keeper has written the last of it. */
  close(standing: JobStanding): void {
    this.#standing = standing;
    this.#closed = true;
    this.keeper = undefined;
    this.#tell();
  }

  /** Calls `listener` after each change, until disposed. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** A hold is this reader's from now on, whichever session it had before; who had it is told. */
  takeHold(holder: HolderId, onTaken: () => void): void {
    const former = this.#readers.get(holder);
    this.#readers.set(holder, onTaken);
    former?.();
  }

  /** A reader leaves its hold. False when that is another's by now. */
  leaveHold(holder: HolderId, onTaken: () => void): boolean {
    const reader = this.#readers.get(holder);
    if (reader !== undefined && reader !== onTaken) return false;
    this.#readers.delete(holder);
    return true;
  }

  /** Resolves when the job has exited. */
  async waitForExit(signal: AbortSignal): Promise<void> {
    if (this.exit !== undefined) return;
    const exited = Promise.withResolvers<void>();
    using _listening = this.subscribe(() => this.exit !== undefined && exited.resolve());
    await abortable(exited.promise, signal);
  }

  /** Resolves when its ledger is complete. */
  async waitForClose(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    const closed = Promise.withResolvers<void>();
    using _listening = this.subscribe(() => this.#closed && closed.resolve());
    await abortable(closed.promise, signal);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
