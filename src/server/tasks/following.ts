import { join } from "node:path";
import { turn } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { LedgerReader } from "../../ledger/reader.ts";
import type { HolderId } from "../../protocol/id.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { Job } from "../jobs/job.ts";
import { type Heard, Hearing } from "./hearing.ts";

export interface FollowingOptions {
  readonly ledgers: string;
  readonly job: Job;
  /** The server's own hold: what it has not read is not dropped. */
  readonly holder: HolderId;
  /** Room to read into, which others use too in their turns. */
  readonly buffer: Uint8Array;
  /** Called for each thing, in order; nothing more is read until what it answers has settled. */
  readonly onHeard: (heard: Heard) => Promise<void> | void;
}

/** Bytes after which the hold follows. */
const HOLD_BYTES = 4 * MAX_PAYLOAD_BYTES;

/**
 * Reads what a task's job says, as it says it, to the end of its ledger. Rejects with the signal's reason, and with
 * `incomplete_output` on a damaged one.
 */
export async function follow(options: FollowingOptions, signal: AbortSignal): Promise<void> {
  const { ledgers, job, holder, buffer, onHeard } = options;
  const bell = new Bell();
  const hearing = new Hearing();
  const ring = () => bell.ring();
  using reader = new LedgerReader(join(ledgers, job.start.job), job.start.job, 0);
  using _listening = job.subscribe(ring);
  signal.addEventListener("abort", ring, { once: true });
  let held = 0;
  try {
    for (;;) {
      signal.throwIfAborted();
      const rung = bell.wait();
      const { isClosed, position } = job;
      const bytes = reader.read(buffer, isClosed ? Number.POSITIVE_INFINITY : position);
      for (const heard of hearing.hear(buffer.subarray(0, bytes))) {
        const settled = onHeard(heard);
        if (settled !== undefined) await settled;
      }
      if (reader.position - held >= HOLD_BYTES) {
        held = reader.position;
        job.keeper?.send({ type: "hold", job: job.start.job, holder, position: held });
      }
      // Others have their turn after a piece as large as the keeper tells of at once.
      if (bytes > buffer.length / 2) await turn();
      else if (bytes === 0 && isClosed) return;
      else if (bytes === 0) await rung;
    }
  } finally {
    signal.removeEventListener("abort", ring);
  }
}
