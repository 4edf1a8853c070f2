import { delay } from "../../lib/abort.ts";
import { backoff } from "../../lib/backoff.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { JobProgress } from "../../keeper/link.ts";
import { findEnding } from "../../ledger/ending.ts";
import { findStart, findStartFault, restoreStart, type StartRecord } from "../../ledger/start.ts";
import { LedgerWriter } from "../../ledger/writer.ts";
import type { JobId } from "../../protocol/id.ts";
import { type Exit, NO_TOTALS } from "../../protocol/packet.ts";
import type { Register } from "./register.ts";

/** Milliseconds between tries to write into a ledger how its job ended. */
const SETTLE_RETRY = { first: 250, cap: 5_000, random: Math.random } as const;

export interface AftermathOptions {
  readonly register: Register;
  readonly log: Log;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/** What is found out, from their ledgers, of jobs of which no keeper tells; and what is written there of those that are lost. */
export class Aftermath {
  readonly #options: AftermathOptions;

  constructor(options: AftermathOptions) {
    this.#options = options;
  }

  /** How far a job has come whose keeper cannot tell, from the newest segments of its ledger; undefined where that cannot be read. */
  look(
    id: JobId,
    segments: number,
  ): { readonly standing: JobProgress; readonly closed: boolean } | undefined {
    const { register, log } = this.#options;
    try {
      const { closed, next, position, exit } = findEnding(register.directory(id), id, segments);
      return { standing: { job: id, next, position, exit: exit ?? register.findLive(id)?.exit }, closed };
    } catch (error) {
      log.warn("ledger not read", { job: id, error: describeError(error) });
      return undefined;
    }
  }

  /** Settles a job that nobody keeps. Where that fails it is tried until it works: a full disk only delays it. */
  settle(id: JobId): void {
    try {
      this.#end(id);
    } catch (error) {
      this.#options.log.error("ledger not settled yet", { job: id, error: describeError(error) });
      this.#settleLater(id).catch(() => {}); // it ends with the server
    }
  }

  /** Ledgers are not synced to the disk: a machine that failed may have taken all of one, which the index still knows. */
  restore(id: JobId): void {
    const { register, log } = this.#options;
    const directory = register.directory(id);
    const start = register.index.find(id)?.start;
    if (start === undefined || findStart(directory) !== undefined) return;
    log.warn("ledger gone", { job: id, number: start.number });
    try {
      restoreStart(directory, start);
    } catch (error) {
      log.error("ledger not restored", { job: id, error: describeError(error) });
      const now = new Date().toISOString();
      register.conclude(start, { outcome: { type: "lost", since: now }, totals: NO_TOTALS, endedAt: now });
    }
  }

  /** Claimed, but nothing was started, where the keeper died in between; else something is wrong. */
  passOver(job: JobId): void {
    const fault = findStartFault(this.#options.register.directory(job));
    if (fault !== "missing") this.#options.log.warn("job passed over: no start record", { job, fault });
  }

  async #settleLater(id: JobId): Promise<void> {
    const { register, signal } = this.#options;
    for (const ms of backoff(SETTLE_RETRY)) {
      await delay(ms, signal);
      if (register.findLive(id)?.keeper !== undefined) return; // somebody keeps it after all
      try {
        return this.#end(id);
      } catch {
        // The first failure was logged; most likely this is the same.
      }
    }
  }

  /** Reads how a job ended that nobody keeps, and writes `lost` into the ledger of one that never did. */
  #end(id: JobId): void {
    const { register } = this.#options;
    const directory = register.directory(id);
    const job = register.findLive(id);
    const start = findStart(directory) ?? job?.start;
    if (start === undefined) return; // claimed, but nothing was started: the keeper died in between
    const found = findEnding(directory, id);
    if (!found.closed) finish(directory, start, found.exit);
    const { exit } = found.closed ? found : findEnding(directory, id);
    register.dismiss(id);
    register.conclude(start, exit);
    job?.close({ next: job.next, position: Number.POSITIVE_INFINITY, exit });
  }
}

function finish(directory: string, start: StartRecord, exit: Exit | undefined): void {
  const now = new Date().toISOString();
  using ledger = LedgerWriter.recover(directory, start.job, {
    keepBytes: undefined,
    clock: () => Math.max(0, Date.now() - Date.parse(start.startedAt)) * 1_000,
    released: () => 0,
  });
  ledger.close(exit ?? ledger.exit({ outcome: { type: "lost", since: now }, endedAt: now }));
}
