import { after, delay, turn } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { Claim, StartRecord } from "../ledger/start.ts";
import { LedgerWriter } from "../ledger/writer.ts";
import { findStartTime, sessionMembers } from "../process/identity.ts";
import type { Libc } from "../process/libc.ts";
import type { OutputPipe } from "../process/pipe.ts";
import { quote, StartError } from "../process/program.ts";
import { signalGroup } from "../process/signal.ts";
import { type Child, type ProcessExit, spawnProgram } from "../process/spawn.ts";
import type { HolderId } from "../protocol/id.ts";
import type { ProcessIdentity } from "../protocol/job.ts";
import { MAX_PAYLOAD_BYTES, RUN_AHEAD_BYTES } from "../protocol/limits.ts";
import type { Outcome, ProcessEnd } from "../protocol/outcome.ts";
import type { Exit } from "../protocol/packet.ts";
import { Holds } from "./holds.ts";
import { JobInput, type JobInputOptions } from "./input.ts";
import type { JobProgress } from "./link.ts";

type Stream = "stdout" | "stderr";

/** Bytes after which readers are told of more, though the program's next output is there already. */
const PROGRESS_BYTES = 256 * 1024;

/** Milliseconds between tries to write to a full disk. */
const DISK_RETRY = 250;

export interface JobOptions {
  readonly directory: string;
  /** The directory's; it is only needed while the job is made. */
  readonly claim: Claim;
  readonly start: StartRecord;
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
  readonly stdin: boolean;
  readonly holder: HolderId | undefined;
  /** Milliseconds that a hold survives its client or the front. */
  readonly grace: () => number;
  readonly libc: Libc | undefined;
  readonly log: Log;
  /** More of the ledger may be read, or the job has exited. */
  readonly onProgress: (job: Job) => void;
  readonly input: JobInputOptions;
  /** The ledger is complete. */
  readonly onClosed: (job: Job) => void;
}

/**
 * One job: a program, its ledger, and those it waits for. Its directory is claimed already; that no ledger can be
 * begun there is thrown before anything is started. Output goes into the
 * ledger in pieces of at most 64 KiB with a turn of the event loop after each, so that no job starves another.
 */
export class Job {
  readonly #options: JobOptions;
  readonly #ledger: LedgerWriter;
  readonly #holds: Holds;
  readonly #input: JobInput;
  readonly #child: Child | undefined;
  readonly #identity: ProcessIdentity | undefined;
  /** Rings when the job may have become free to read on. */
  readonly #bell = new Bell();
  readonly #controller = new AbortController();
  readonly #runAhead: number;
  /** Why the job was ended, if it did not end by itself; the first cause wins. */
  #cause: { readonly type: "cancelled"; readonly by: string } | undefined;
  #exit: Exit | undefined;
  /** The leader is reaped, so that its pid may be given to another process. */
  #reaped = false;
  /** Between the exit and its record nothing holds output back. */
  #draining = false;
  /** The position up to which readers were told of. */
  #told = 0;
  /** Whether the last output could not be written, which is logged once. */
  #failing = false;

  constructor(options: JobOptions) {
    const { start, directory, holder } = options;
    const began = performance.now();
    this.#options = options;
    this.#holds = new Holds(() => this.#takeHolds(), options.grace);
    if (holder !== undefined) this.#holds.attach(holder, 0);
    this.#ledger = LedgerWriter.create(directory, start.job, {
      keepBytes: start.keepBytes,
      clock: () => Math.round((performance.now() - began) * 1_000),
      released: () => this.#holds.released,
    });
    const spawned = this.#spawn();
    this.#child = spawned instanceof StartError ? undefined : spawned;
    this.#runAhead = Math.min(RUN_AHEAD_BYTES, (start.keepBytes ?? Number.POSITIVE_INFINITY) / 2);
    this.#input = new JobInput(this.#child?.stdin, options.input);
    this.#identity = this.#identify();
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

  /** Sends a signal to the whole group, and answers whether there was one. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#hasMembers() && signalGroup((this.#identity as ProcessIdentity).pid, signal);
  }

  /** Ends the group: `signal`, then KILL after `grace` ms. A stopped group is continued, so that it can obey. */
  cancel(by: string, signal: NodeJS.Signals, grace: number): boolean {
    if (!this.signal(signal)) return false;
    if (!this.#reaped) this.#cause ??= { type: "cancelled", by };
    this.signal("SIGCONT");
    after(grace, () => this.#kill());
    return true;
  }

  /** Called by a timer, where an error (what is left belongs to another user, by sudo for one) would end the keeper. */
  #kill(): void {
    try {
      this.signal("SIGKILL");
    } catch (error) {
      this.#options.log.warn("group not killed", {
        job: this.#options.start.job,
        error: describeError(error),
      });
    }
  }

  #spawn(): Child | StartError {
    const { start, env, umask, stdin, libc } = this.#options;
    try {
      return spawnProgram({ argv: start.argv, cwd: start.cwd, env, umask, merge: start.merge, stdin, libc });
    } catch (error) {
      if (error instanceof StartError) return error;
      this.#options.log.error("spawn failed unexpectedly", { job: start.job, error: describeError(error) });
      return new StartError(
        "start_failed",
        `Cannot run ${quote(start.argv[0] ?? "")}: the keeper failed to start it`,
      );
    }
  }

  #identify(): ProcessIdentity | undefined {
    if (this.#child === undefined) return undefined;
    const { pid } = this.#child;
    const identity = { pid, startTime: findStartTime(pid) ?? "" };
    try {
      this.#options.claim.noteProcess(identity);
    } catch (error) {
      this.#options.log.warn("process not noted", { pid, error: describeError(error) });
    }
    return identity;
  }

  /** After the leader is reaped its pid may be another's, unless members of its session keep it taken. */
  #hasMembers(): boolean {
    if (this.#identity === undefined) return false;
    return !this.#reaped || sessionMembers(this.#identity).length > 0;
  }

  /** Runs by itself to the job's end, and logs what should never happen. */
  #startKeeping(spawned: Child | StartError): void {
    const kept = spawned instanceof StartError ? this.#refuse(spawned) : this.#keep(spawned);
    kept
      .catch((error) =>
        this.#options.log.error("keeping a job failed", {
          job: this.#options.start.job,
          error: describeError(error),
        }),
      )
      .finally(() => {
        this.#controller.abort();
        this.#holds.clear();
        this.#ledger[Symbol.dispose]();
        this.#options.onClosed(this);
      });
  }

  /** The job may have become free to run on, or a stream have lost its last reader: SIGPIPE then tells the program. */
  #takeHolds(): void {
    this.#bell.ring();
    if (this.#holds.isUnread("stdout")) this.#startClosing(this.#child?.stdout);
    if (this.#holds.isUnread("stderr")) this.#startClosing(this.#child?.stderr);
  }

  #startClosing(pipe: OutputPipe | undefined): void {
    pipe
      ?.close()
      .catch((error) => this.#options.log.error("closing a pipe failed", { error: describeError(error) }));
  }

  async #refuse({ reason }: StartError): Promise<void> {
    await this.#recordClose(await this.#recordExit({ type: "not_started", reason }, undefined));
  }

  async #keep({ stdout, stderr, exited }: Child): Promise<void> {
    const pumped = Promise.all([this.#pump("stdout", stdout), stderr && this.#pump("stderr", stderr)]);
    pumped.catch(() => {}); // awaited below, after the exit
    const { end, usage } = await exited;
    this.#reaped = true;
    this.#input.close();
    this.#draining = true;
    this.#bell.ring();
    await Promise.all([stdout, stderr].map((pipe) => pipe?.caughtUp(this.#controller.signal)));
    this.#draining = false;
    const exit = await this.#recordExit(this.#toOutcome(end), usage);
    await pumped;
    await this.#recordClose(exit);
  }

  async #pump(stream: Stream, pipe: OutputPipe): Promise<void> {
    for (;;) {
      await this.#mayRunOn();
      const chunk = await pipe.read();
      if (chunk === undefined) return this.#tell();
      for (let start = 0; start < chunk.length; start += MAX_PAYLOAD_BYTES) {
        await this.#mayRunOn();
        await this.#append(stream, chunk.subarray(start, start + MAX_PAYLOAD_BYTES));
        if (pipe.pending() === 0 || this.#ledger.position - this.#told >= PROGRESS_BYTES) this.#tell();
        await turn();
      }
    }
  }

  /** Waits while the slowest holder is too far behind. */
  async #mayRunOn(): Promise<void> {
    while (!this.#draining && this.#ledger.position - this.#holds.released >= this.#runAhead) {
      this.#tell();
      await this.#bell.wait();
    }
  }

  #tell(): void {
    this.#told = this.#ledger.position;
    this.#options.onProgress(this);
  }

  /** Appends, or waits for room on a full disk while somebody holds the job, or leaves a gap when nobody does. */
  async #append(stream: Stream, bytes: Uint8Array): Promise<void> {
    for (;;) {
      try {
        this.#ledger.append(stream, bytes);
        this.#failing = false;
        return;
      } catch (error) {
        this.#noteFailure(error);
        if (this.#holds.isEmpty || !isDiskFull(error)) return this.#ledger.skip(stream, bytes);
        this.#tell();
        await this.#retryDelay();
      }
    }
  }

  #noteFailure(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    this.#options.log.warn("output not written", {
      job: this.#options.start.job,
      error: describeError(error),
    });
  }

  #toOutcome(end: ProcessEnd): Outcome {
    return this.#cause === undefined ? end : { ...this.#cause, end };
  }

  async #recordExit(outcome: Outcome, usage: ProcessExit["usage"]): Promise<Exit> {
    const body = { outcome, ...(usage && { usage }), endedAt: new Date().toISOString() };
    const exit = await this.#insist(() => this.#ledger.exit(body)).catch((error: unknown) => {
      // Somebody removed the ledger, for one: whoever waits is told all the same.
      this.#noteFailure(error);
      return { ...body, totals: this.#ledger.totals };
    });
    this.#exit = exit;
    this.#tell();
    return exit;
  }

  async #recordClose(exit: Exit): Promise<void> {
    await this.#insist(() => this.#ledger.close(exit));
    this.#tell();
  }

  /** How a job ended must be written down, however long the disk is full. */
  async #insist<T>(write: () => T): Promise<T> {
    for (;;) {
      try {
        return write();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        await this.#retryDelay();
      }
    }
  }

  #retryDelay(): Promise<void> {
    return delay(DISK_RETRY, this.#controller.signal);
  }
}

/** Whether an error of the file system is one that ends when somebody makes room. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
