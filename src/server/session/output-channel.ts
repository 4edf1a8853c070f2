import { join } from "node:path";
import { findEnding } from "../../ledger/ending.ts";
import { locatePacket } from "../../ledger/locate.ts";
import { LedgerReader } from "../../ledger/reader.ts";
import type { WantedValue } from "../../ledger/search.ts";
import type { From } from "../../protocol/control.ts";
import type { CreditCounts } from "../../protocol/credit.ts";
import type { Flight } from "../../protocol/flight.ts";
import type { HolderId, JobId } from "../../protocol/id.ts";
import { encodeRecord, type Totals } from "../../protocol/packet.ts";
import type { Job } from "../jobs/job.ts";
import { findBeginning } from "./beginning.ts";
import { Sending } from "./sending.ts";

export interface OutputChannelOptions {
  readonly state: string;
  /** As it was asked for; the job found may be another, which has the same key. */
  readonly job: JobId;
  readonly from: From;
  readonly holder: HolderId | undefined;
  /** The packet at which the holder is, where that is before the first one wanted. */
  readonly hold: number | undefined;
  readonly flight: Flight;
  /** There may be something to send. */
  readonly onReady: () => void;
  /** Another channel has taken the hold, maybe in another session. */
  readonly onTaken: () => void;
}

/** What was sent in one frame, until the client has consumed it. */
interface Mark {
  readonly next: number;
  readonly ledgerPosition: number;
}

/** The server's half of a stream of a job's output: whole records from the ledger, as far as credit goes. */
export class OutputChannel {
  readonly #options: OutputChannelOptions;
  readonly #sending: Sending;
  /** Frames that the client has not consumed, oldest first. */
  readonly #marks: Mark[] = [];
  #job: Job | undefined;
  #reader: LedgerReader | undefined;
  #subscription: Disposable | undefined;
  /** It counts as one of the job's holders. */
  #isHolding = false;
  /** Aborted when nobody wants the value any more that is looked for. */
  readonly #search = new AbortController();
  /** A gap of no packets, which comes before everything. */
  #preamble: Uint8Array | undefined;
  /** Why looking for a value came to nothing. */
  #failure: unknown;
  #finished = false;
  /** How it was closed last, which may have been before the job was found. */
  #closed: "on purpose" | "by accident" | "replaced" | undefined;

  constructor(options: OutputChannelOptions) {
    this.#options = options;
    this.#sending = new Sending(options.flight);
  }

  /** Whether it keeps the job waiting, or did before its connection was lost; of a job that is over nobody has a hold. */
  get isHeld(): boolean {
    return this.#options.holder !== undefined && this.#job?.isClosed !== true;
  }

  isOf(job: JobId, holder: HolderId): boolean {
    return this.#options.holder === holder && (this.#options.job === job || this.#job?.start.job === job);
  }

  /** Begins to read; a holder's hold moves to where that is. */
  attach(job: Job): void {
    const { from, holder, hold, onReady, onTaken } = this.#options;
    this.#job = job;
    if (this.#closed === "replaced") return;
    const isHeld = holder !== undefined && job.startedFor === holder;
    if (isHeld) job.startedFor = undefined;
    if (this.#closed !== undefined) return this.#letGo();
    if (holder !== undefined) {
      job.holders++;
      this.#isHolding = true;
      job.takeHold(holder, onTaken);
    }
    if (from.unit === "values") return this.#startSearching(job, from);
    this.#reader = this.#open(job, this.#toFirst(job, from));
    if (holder !== undefined) {
      this.#reader.seek(job.position);
      // A job that was started for this holder waits for it already.
      if (!isHeld) this.#send({ type: "attach", holder, position: this.#toPosition(job, hold) });
    }
    this.#subscription = job.subscribe(onReady);
    onReady();
  }

  /** Bytes sent so far. */
  get position(): number {
    return this.#sending.position;
  }

  /** Bytes sent that have not come, as far as the client has said. */
  get inFlight(): number {
    return this.#closed === undefined ? this.#sending.inFlight : 0;
  }

  /** Whether everything is sent and nothing more will come. */
  get isAtEnd(): boolean {
    if (this.#isOver || this.#reader === undefined || this.#job?.isClosed !== true) return false;
    if (this.#preamble !== undefined) return false;
    // With room for any record, a read that gave nothing has read everything.
    return this.#reader.position >= this.#job.position || this.#sending.hasRoomForAny;
  }

  /** Reads the next whole records that credit allows into `target`; answers their bytes. */
  read(target: Uint8Array, now: number): number {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#reader === undefined || this.#job === undefined || this.#isOver) return 0;
    const room = this.#sending.fit(target);
    const bytes = room.length === 0 ? 0 : this.#readInto(room, this.#reader, this.#job);
    if (bytes === 0) return 0;
    this.#sending.sent(bytes, now);
    this.#marks.push({ next: this.#reader.next, ledgerPosition: this.#reader.position });
    return bytes;
  }

  /** Takes the client's credit; what it has consumed moves its hold. Throws `protocol_error`. */
  grant({ next, ...counts }: CreditCounts & { readonly next?: number | undefined }, now: number): void {
    this.#sending.grant(counts, now);
    let reached: Mark | undefined;
    while (next !== undefined && this.#marks[0] !== undefined && this.#marks[0].next <= next)
      reached = this.#marks.shift();
    const { holder } = this.#options;
    if (reached === undefined || holder === undefined) return;
    this.#send({ type: "hold", holder, position: reached.ledgerPosition });
  }

  /** The client reads this stream no more; only a holder's word counts. */
  discard(stream: "stdout" | "stderr" | undefined): void {
    const { holder } = this.#options;
    if (stream !== undefined && holder !== undefined) this.#send({ type: "discard", holder, stream });
  }

  /** Everything was sent. */
  finish(): void {
    this.#finished = true;
    this.#release();
  }

  /** Gives up the hold, or leaves it to the client's return when the end was not on purpose; then it may be closed again. */
  close(onPurpose: boolean, now: number): void {
    this.#stop(now);
    this.#closed = onPurpose ? "on purpose" : "by accident";
    this.#letGo();
  }

  /** The same reader has come again, with the same hold. */
  replace(now: number): void {
    this.#stop(now);
    this.#closed = "replaced";
    const { holder, onTaken } = this.#options;
    if (holder !== undefined) this.#job?.leaveHold(holder, onTaken);
  }

  /** Whether nothing more is sent: everything was, or nobody takes it. */
  get #isOver(): boolean {
    return this.#finished || this.#closed !== undefined;
  }

  #stop(now: number): void {
    if (this.#closed !== undefined) return;
    this.#release();
    this.#search.abort();
    this.#sending.stop(now);
    if (this.#isHolding && this.#job !== undefined) this.#job.holders--;
  }

  #letGo(): void {
    const { holder, onTaken } = this.#options;
    if (holder === undefined || this.#job?.leaveHold(holder, onTaken) !== true) return;
    this.#send({ type: this.#closed === "on purpose" ? "release" : "orphan", holder });
  }

  #release(): void {
    this.#subscription?.[Symbol.dispose]();
    this.#reader?.[Symbol.dispose]();
  }

  #send(
    message: { readonly holder: HolderId } & (
      | { readonly type: "attach" | "hold"; readonly position: number }
      | { readonly type: "release" | "orphan" }
      | { readonly type: "discard"; readonly stream: "stdout" | "stderr" }
    ),
  ): void {
    if (this.#job !== undefined) this.#job.keeper?.send({ ...message, job: this.#job.start.job });
  }

  #toFirst(job: Job, from: From): number {
    if (from.type === "since") return from.number;
    const directory = this.#toDirectory(job);
    const end = job.isClosed ? findEnding(directory, job.start.job) : job;
    if (from.unit !== "bytes") return Math.max(0, end.next - from.count);
    return from.count >= end.position ? 0 : locatePacket(directory, job.start.job, end.position - from.count);
  }

  #readInto(room: Uint8Array, reader: LedgerReader, job: Job): number {
    const preamble = this.#preamble;
    if (preamble === undefined) return reader.read(room, job.position);
    if (preamble.length > room.length) return 0;
    this.#preamble = undefined;
    room.set(preamble);
    return preamble.length;
  }

  /** Runs by itself until the value is found, or nobody wants it any more. */
  #startSearching(job: Job, wanted: WantedValue): void {
    const { holder, onReady } = this.#options;
    const hold = (type: "attach" | "hold", position: number) => {
      if (holder !== undefined) this.#send({ type, holder, position });
    };
    hold("attach", 0);
    const onPassed = (position: number) => hold("hold", position);
    findBeginning({ directory: this.#toDirectory(job), job, wanted, onPassed }, this.#search.signal)
      .then((totals) => this.#begin(job, totals))
      .catch((error: unknown) => {
        if (this.#search.signal.aborted) return;
        this.#failure = error;
        onReady();
      });
  }

  #begin(job: Job, totals: Totals): void {
    if (this.#isOver) return;
    const { holder, onReady } = this.#options;
    const { packets: number } = totals;
    this.#preamble = encodeRecord("gap", { number, at: 0 }, { next: number, totals });
    this.#reader = this.#open(job, number);
    if (holder !== undefined) {
      this.#reader.seek(job.position);
      this.#send({ type: "hold", holder, position: this.#reader.position });
    }
    this.#subscription = job.subscribe(onReady);
    onReady();
  }

  #open(job: Job, first: number): LedgerReader {
    return new LedgerReader(this.#toDirectory(job), job.start.job, first);
  }

  #toDirectory({ start }: Job): string {
    return join(this.#options.state, "ledgers", start.job);
  }

  /** Where the holder is: at the first packet that this channel reads, unless it said that it is further back. */
  #toPosition(job: Job, hold: number | undefined): number {
    const first = this.#reader?.position ?? 0;
    if (hold === undefined) return first;
    using reader = this.#open(job, hold);
    reader.seek(job.position);
    return Math.min(first, reader.position);
  }
}
