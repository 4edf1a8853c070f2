import { after } from "../../lib/abort.ts";
import { isDiskFull } from "../../lib/disk.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { toMessage } from "../../lib/message.ts";
import { AppError } from "../../protocol/error.ts";
import type { AuditFailure } from "./audit-config.ts";
import type { Actor, AuditEvent } from "./event.ts";
import { Journal } from "./journal.ts";
import { type AuditDraft, type ChainEnd, createDraft } from "./line.ts";

/** Milliseconds after which what was written is on the disk, whatever becomes of the machine. */
const SYNC_DELAY = 1_000;
/** Milliseconds until what could not be written is tried again. */
const RETRY_DELAY = 1_000;
/** Characters that are held while they cannot be written: some thousand lines. */
const MAX_HELD = 1024 * 1024;

/** Takes down what somebody does. */
export interface Recorder {
  /** It is written before this turn of the event loop is over, or with the next `commit`. */
  note(event: AuditEvent, fields?: Readonly<Record<string, unknown>>): void;
  /**
   * Writes what was taken down. Throws `unavailable` where that cannot be done, and nothing is to be done unrecorded; `what`:
   * what is refused then, as in `call "exec"`.
   */
  commit(what: string): void;
  /** Writes what was taken down, if that can be done. */
  write(): void;
}

export interface AuditOptions {
  readonly directory: string;
  readonly onFailure: AuditFailure;
  readonly log: Log;
  readonly now: () => Date;
  /** Bytes after which another file is begun. */
  readonly fileBytes?: number;
}

/**
 * The audit log of a server. What happens is written in the order in which it is taken down, before whoever asked for it has
 * an answer. Where the log cannot be written, lines are held and tried again, and what becomes of calls is configured.
 */
export class Audit implements Recorder, Disposable {
  readonly #options: AuditOptions;
  readonly #journal: Journal;
  readonly #pending: AuditDraft[] = [];
  /** Characters of all of them. */
  #held = 0;
  /** Lines that were given up, as there was no room for more. */
  #lost = 0;
  /** Why the last attempt to write failed. */
  #failure: Error | undefined;
  #isScheduled = false;
  #hasWritten = false;
  #sync: Disposable | undefined;
  #retry: Disposable | undefined;

  /** Throws `state_unusable` where the log cannot be opened. */
  constructor(options: AuditOptions) {
    this.#options = options;
    this.#journal = openJournal(options);
  }

  /** The newest line: kept elsewhere, it proves what stands before it. */
  get last(): ChainEnd {
    return this.#journal.last;
  }

  /** What somebody does is taken down as his. */
  as(actor: Actor): Recorder {
    return {
      note: (event, fields) => this.note(event, { ...actor, ...fields }),
      commit: (what) => this.commit(what),
      write: () => this.write(),
    };
  }

  note(event: AuditEvent, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.#held >= MAX_HELD) {
      this.#lost++;
      return;
    }
    const draft = createDraft(this.#options.now(), { event, ...fields });
    this.#pending.push(draft);
    this.#held += draft.text.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.write();
    });
  }

  commit(what: string): void {
    this.write();
    if (this.#failure === undefined || !this.#mustRefuse) return;
    const why = isDiskFull(this.#failure) ? "its disk is full" : this.#failure.message;
    throw new AppError(
      "unavailable",
      `Cannot ${what}: the server's audit log cannot be written (${why}), and nothing is done unrecorded`,
      { cause: this.#failure },
    );
  }

  write(): void {
    if (this.#failure === undefined) this.#flush(); // else it is tried again in a moment, and no call waits for that
  }

  /** What cannot be written is held, as long as there is room. */
  #flush(): void {
    if (this.#pending.length === 0) return;
    try {
      this.#journal.append([...this.#pending, ...this.#toGap()]);
      this.#hasWritten = true;
      this.#pending.length = 0;
      this.#held = 0;
      this.#lost = 0;
      if (this.#failure !== undefined) this.#options.log.warn("audit log written again");
      this.#failure = undefined;
      this.#sync ??= after(SYNC_DELAY, () => this.#startSync());
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#fail(error);
    }
  }

  /** Writes and syncs the rest. */
  [Symbol.dispose](): void {
    this.#flush();
    this.#sync?.[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    if (this.#pending.length > 0)
      this.#options.log.error("audit lines lost", { lines: this.#pending.length });
    if (this.#hasWritten) this.#conclude();
    this.#journal[Symbol.dispose]();
  }

  /** Removes files that are older than the configuration wants them. It logs what fails. */
  prune(before: Date): void {
    try {
      const files = this.#journal.prune(before);
      if (files > 0) this.#options.log.info("audit files removed", { files });
    } catch (error) {
      this.#options.log.error("audit files not removed", { error: describeError(error) });
    }
  }

  get #mustRefuse(): boolean {
    const { onFailure } = this.#options;
    return onFailure === "refuse" || (onFailure === "hold" && this.#held >= MAX_HELD);
  }

  #toGap(): readonly AuditDraft[] {
    if (this.#lost === 0) return [];
    return [createDraft(this.#options.now(), { event: "audit_lost", lines: this.#lost })];
  }

  #fail(error: Error): void {
    if (this.#failure === undefined)
      this.#options.log.error("audit log not written", { error: describeError(error) });
    this.#failure = error;
    this.#retry?.[Symbol.dispose]();
    this.#retry = after(RETRY_DELAY, () => this.#flush());
  }

  /** Syncs, and tells the end of the chain to another log, so that a cut of this one would show. */
  #conclude(): void {
    try {
      this.#journal.syncNow();
    } catch (error) {
      this.#options.log.error("audit log not synced", { error: describeError(error) });
    }
    const { number, hash } = this.last;
    this.#options.log.info("audit log closed", { line: number, hash });
  }

  #startSync(): void {
    this.#sync = undefined;
    this.#journal
      .sync()
      .catch((error) => this.#options.log.error("audit log not synced", { error: describeError(error) }));
  }
}

function openJournal({ directory, now, fileBytes }: AuditOptions): Journal {
  try {
    const journal = new Journal(directory, { now, ...(fileBytes !== undefined && { fileBytes }) });
    journal.open();
    return journal;
  } catch (error) {
    const why = isDiskFull(error) ? "its disk is full; make room" : toMessage(error);
    throw new AppError("state_unusable", `Cannot open the audit log "${directory}": ${why}`, {
      cause: error,
    });
  }
}
