import { after } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { Claim } from "../ledger/start.ts";
import { LedgerWriter } from "../ledger/writer.ts";
import type { OutputPipe } from "../process/pipe.ts";
import { quote, StartError } from "../process/program.ts";
import type { Child, ChildTerminal, ProcessExit } from "../process/spawn.ts";
import type { Order } from "../process/termination.ts";
import type { ErrorBody } from "../protocol/error.ts";
import type { HolderId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import { DEFAULT_GRACE, RUN_AHEAD_BYTES, TERMINAL_RUN_AHEAD_BYTES } from "../protocol/limits.ts";
import type { RecordedOutcome } from "../protocol/outcome.ts";
import type { Exit } from "../protocol/packet.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import { insist } from "./full-disk.ts";
import { Holds } from "./holds.ts";
import { JobInput, type JobInputOptions } from "./input.ts";
import { Intake } from "./intake.ts";
import { Limits, type ReachedLimit } from "./limits.ts";
import type { JobProgress } from "./link.ts";
import { type JobProcess, type ProcessOptions, startProcess } from "./process.ts";

/** Milliseconds that whoever ended a job waits for its exit to be recorded after that: a disk may be full. */
const RECORD_PATIENCE = 2_000;

const NOT_HEARD: ErrorBody = {
  code: "crashed",
  message: "Its runner said what cannot be read, so that what came of it is unknown",
};

/** Why a job was ended, if it did not end by itself. */
type Cause = { readonly type: "cancelled"; readonly by: string } | ReachedLimit;

export interface JobOptions extends ProcessOptions {
  /** What a runner is given first. It may be large, and is kept only until it has that. */
  readonly order?: Uint8Array | undefined;
  readonly directory: string;
  /** The directory's; it is only needed while the job is made. */
  readonly claim: Claim;
  readonly holder: HolderId | undefined;
  /** Milliseconds that a hold survives its client or the front. */
  readonly grace: () => number;
  readonly log: Log;
  /** More of the ledger may be read, or the job has exited. */
  readonly onProgress: (job: Job) => void;
  readonly input: JobInputOptions;
  /** The ledger is complete. */
  readonly onClosed: (job: Job) => void;
}

/**
 * One job: a program, its ledger, and those it waits for. Its directory is claimed already; that no ledger can be begun
 * there is thrown before anything is started.
 */
export class Job {
  readonly #options: Omit<JobOptions, "order">;
  readonly #ledger: LedgerWriter;
  readonly #holds: Holds;
  readonly #input: JobInput;
  readonly #limits: Limits;
  readonly #process: JobProcess | undefined;
  /** Rings when the job may have become free to read on. */
  readonly #bell = new Bell();
  readonly #controller = new AbortController();
  readonly #intake: Intake;
  /** The first cause wins. */
  #cause: Cause | undefined;
  #exit: Exit | undefined;
  readonly #recorded = Promise.withResolvers<void>();
  /** Whether nobody reads any more what it says. */
  #isUnread = false;

  constructor({ order, ...options }: JobOptions) {
    const { start, directory, holder, stdin } = options;
    const began = performance.now();
    this.#options = options;
    this.#holds = new Holds({
      onChange: () => this.#takeHolds(),
      onAbandoned: () => this.#abandon(),
      grace: options.grace,
    });
    if (holder !== undefined) this.#holds.attach(holder, 0);
    this.#ledger = LedgerWriter.create(directory, start.job, {
      keepBytes: start.keepBytes,
      clock: () => Math.round((performance.now() - began) * 1_000),
      released: () => this.#holds.released,
    });
    const spawned = this.#spawn();
    this.#process = spawned instanceof StartError ? undefined : spawned;
    const preamble = order && { bytes: order, isAll: !stdin };
    this.#input = new JobInput(this.#process?.child.stdin, options.input, preamble);
    this.#limits = new Limits({
      limits: start.limits ?? {},
      isHeldBack: () => this.#intake.isHeldBack,
      onReached: (limit) => this.#reach(limit),
    });
    this.#intake = new Intake({
      job: start.job,
      ledger: this.#ledger,
      holds: this.#holds,
      limits: this.#limits,
      runAhead: toRunAhead(start.keepBytes, this.#process?.child.terminal),
      bell: this.#bell,
      log: options.log,
      onProgress: () => options.onProgress(this),
      signal: this.#controller.signal,
    });
    this.#startKeeping(spawned);
  }

  get holds(): Holds {
    return this.#holds;
  }

  get input(): JobInput {
    return this.#input;
  }

  progress(): JobProgress {
    const { packets } = this.#ledger.totals;
    const { position } = this.#ledger;
    const standing = { job: this.#options.start.job, next: packets, position };
    return this.#exit === undefined ? standing : { ...standing, exit: this.#exit };
  }

  /** Drops the oldest output that no holder needs, until at most `bytes` are kept. */
  trim(bytes: number): void {
    try {
      this.#ledger.trim(bytes);
    } catch (error) {
      // There may be no room for a new segment; the front asks again.
      this.#options.log.warn("output not trimmed", { error: describeError(error) });
    }
  }

  /** Gives the job's terminal, if it has one, another size; its readers learn where in its output that was. */
  resize(size: TerminalSize): void {
    const terminal = this.#process?.child.terminal;
    if (terminal === undefined || this.#exit !== undefined) return;
    terminal.resize(size);
    try {
      this.#ledger.resize(size);
      this.#intake.tell();
    } catch (error) {
      this.#intake.noteFailure(error); // the screen is as large as it is, written down or not
    }
  }

  /** Sends a signal to the whole group, and answers whether there was one. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#process?.signal(signal) ?? false;
  }

  /** Ends every process of the job, and resolves when they are gone; with undefined when there is none. */
  cancel(by: string, order: Order): Promise<Ended | undefined> {
    return this.#end({ type: "cancelled", by }, order);
  }

  /** Ends what there is of the job; what ends the program itself first is the cause of its end. */
  async #end(cause: Cause, order: Order): Promise<Ended | undefined> {
    const ending = await this.#process?.end(order);
    if (ending?.isCause) this.#cause ??= cause;
    return ending && this.#afterRecord(ending.ended);
  }

  async #afterRecord(ended: Promise<Ended>): Promise<Ended> {
    const what = await ended;
    const late = Promise.withResolvers<void>();
    using _limit = after(RECORD_PATIENCE, late.resolve);
    await Promise.race([this.#recorded.promise, late.promise]);
    return what;
  }

  #reach(limit: ReachedLimit): void {
    // What was written beyond the limit is missing, though its program may be gone by now.
    if (limit.type === "output_limited" && this.#exit === undefined) this.#cause ??= limit;
    this.#startEnding(limit);
  }

  /** The last that held the job is not coming back. */
  #abandon(): void {
    if (this.#options.start.onDisconnect === "kill")
      this.#startEnding({ type: "cancelled", by: "disconnect" });
  }

  /** For timers, where nobody waits for the end. */
  #startEnding(cause: Cause): void {
    const { job, limits } = this.#options.start;
    this.#end(cause, { signal: "SIGTERM", grace: limits?.graceMs ?? DEFAULT_GRACE })
      .then((what) => what && this.#options.log.info("job ended", { job, cause: cause.type, ...what }))
      .catch((error) => this.#options.log.error("ending failed", { job, error: describeError(error) }));
  }

  #spawn(): JobProcess | StartError {
    try {
      return this.#note(startProcess(this.#options));
    } catch (error) {
      if (error instanceof StartError) return error;
      const { job, argv } = this.#options.start;
      this.#options.log.error("spawn failed unexpectedly", { job, error: describeError(error) });
      return new StartError(
        "start_failed",
        `Cannot run ${quote(argv[0] ?? "")}: the keeper failed to start it`,
      );
    }
  }

  /** Leaves word of the process, for whoever must find it without us. */
  #note(spawned: JobProcess): JobProcess {
    try {
      this.#options.claim.noteProcess(spawned.identity);
    } catch (error) {
      this.#options.log.warn("process not noted", { ...spawned.identity, error: describeError(error) });
    }
    return spawned;
  }

  /** Runs by itself to the job's end, and logs what should never happen. */
  #startKeeping(spawned: JobProcess | StartError): void {
    const kept = spawned instanceof StartError ? this.#refuse(spawned) : this.#keep(spawned.child);
    kept
      .catch((error) =>
        this.#options.log.error("keeping a job failed", {
          job: this.#options.start.job,
          error: describeError(error),
        }),
      )
      .finally(() => {
        this.#controller.abort();
        this.#limits[Symbol.dispose]();
        this.#process?.[Symbol.dispose]();
        this.#holds.clear();
        this.#ledger[Symbol.dispose]();
        this.#options.onClosed(this);
      });
  }

  /**
   * The job may have become free to run on, or a stream have lost its last reader: SIGPIPE then tells the program. A terminal
   * has no such end, and others may come back to it: it is read on. Values go where stdout does.
   */
  #takeHolds(): void {
    this.#bell.ring();
    if (this.#process?.child.terminal !== undefined) return;
    if (this.#holds.isUnread("stdout")) {
      this.#startClosing(this.#process?.child.stdout);
      this.#startClosing(this.#process?.child.said);
      this.#isUnread = true;
    }
    if (this.#holds.isUnread("stderr")) this.#startClosing(this.#process?.child.stderr);
  }

  #startClosing(pipe: OutputPipe | undefined): void {
    pipe
      ?.close()
      .catch((error) => this.#options.log.error("closing a pipe failed", { error: describeError(error) }));
  }

  async #refuse(error: StartError): Promise<void> {
    await this.#recordClose(await this.#recordExit(this.#toRefusal(error), undefined));
  }

  /** A program's name, which the reason tells, may be more than its start record shows. */
  #toRefusal({ reason: { message, ...reason } }: StartError): RecordedOutcome {
    const [{ argv }, { argv: shown }] = [this.#options, this.#options.start];
    const [name = "", shownName = ""] = [argv[0], shown[0]];
    return {
      type: "not_started",
      reason: { ...reason, message: name === shownName ? message : message.replaceAll(name, shownName) },
    };
  }

  async #keep({ stdout, stderr, said, exited }: Child): Promise<void> {
    const pumped = Promise.all([
      this.#intake.pump("stdout", stdout),
      stderr && this.#intake.pump("stderr", stderr),
      said && this.#intake.pumpSaid(said),
    ]);
    pumped.catch(() => {}); // awaited below, after the exit
    const { end, usage } = await exited;
    this.#limits[Symbol.dispose]();
    this.#input.close();
    await this.#drain([stdout, stderr, said]);
    const exit = await this.#recordExit(this.#toOutcome(end), usage);
    await pumped;
    await this.#process?.settled();
    await this.#recordClose(exit);
  }

  /** Has all that the program wrote before it ended recorded before its exit, however slow readers are. */
  async #drain(pipes: readonly (OutputPipe | undefined)[]): Promise<void> {
    using _draining = this.#intake.drain();
    await Promise.all(pipes.map((pipe) => pipe?.caughtUp(this.#controller.signal)));
  }

  #toOutcome(end: ProcessExit["end"]): RecordedOutcome {
    if (end instanceof StartError) return this.#toRefusal(end);
    if (this.#cause !== undefined) return { ...this.#cause, end };
    if (end.type !== "exited" || end.code !== 0) return end;
    // It is no success of which not all was heard, unless nobody wanted to.
    const { isBroken, outcome } = this.#intake.speech;
    if (isBroken && !this.#isUnread) return { type: "threw", error: NOT_HEARD };
    return outcome ?? end;
  }

  async #recordExit(outcome: RecordedOutcome, usage: ProcessExit["usage"]): Promise<Exit> {
    const { signal } = this.#controller;
    const body = { outcome, ...(usage && { usage }), endedAt: new Date().toISOString() };
    const exit = await insist(() => this.#ledger.exit(body), signal).catch((error: unknown) => {
      // Somebody removed the ledger, for one: whoever waits is told all the same.
      this.#intake.noteFailure(error);
      return { ...body, totals: this.#ledger.totals };
    });
    this.#exit = exit;
    this.#intake.finish();
    this.#recorded.resolve();
    this.#intake.tell();
    return exit;
  }

  async #recordClose(exit: Exit): Promise<void> {
    await insist(() => this.#ledger.close(exit), this.#controller.signal);
    this.#intake.tell();
  }
}

/** Bytes that a job may be ahead of its slowest holder. */
function toRunAhead(keepBytes = Number.POSITIVE_INFINITY, terminal: ChildTerminal | undefined): number {
  if (terminal === undefined) return Math.min(RUN_AHEAD_BYTES, keepBytes / 2);
  return terminal.canWait ? TERMINAL_RUN_AHEAD_BYTES : Number.POSITIVE_INFINITY;
}
