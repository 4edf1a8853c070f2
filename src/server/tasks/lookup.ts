import { join } from "node:path";
import { turn } from "../../lib/abort.ts";
import { LedgerReader } from "../../ledger/reader.ts";
import { hasLedger } from "../../ledger/start.ts";
import { MAX_DATA_BYTES } from "../../protocol/limits.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import { Execution, type Process } from "./execution.ts";
import { Hearing } from "./hearing.ts";
import { applyTold } from "./told.ts";

/** What a job's record tells of an execution. */
export interface Trace {
  /** Undefined where there is nothing of it. */
  readonly execution: Execution | undefined;
  /** Whether some of the record is gone, so that there may have been more. */
  readonly hasGaps: boolean;
}

/** Looks an execution up in the record of a job, all of it; others have their turns meanwhile. */
export async function lookUp(ledgers: string, process: Process, id: ExecutionId): Promise<Trace> {
  const { job } = process;
  const directory = join(ledgers, job);
  if (!hasLedger(directory)) return { execution: undefined, hasGaps: true };
  using reader = new LedgerReader(directory, job, 0);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  const hearing = new Hearing();
  let execution: Execution | undefined;
  let hasGaps = false;
  for (;;) {
    const bytes = reader.read(buffer, Number.POSITIVE_INFINITY);
    if (bytes === 0) return { execution, hasGaps };
    for (const heard of hearing.hear(buffer.subarray(0, bytes))) {
      if (heard.type === "gap") hasGaps = true;
      if (heard.type !== "told" || heard.told.id !== id) continue;
      if (execution === undefined) (execution = new Execution(id)).begin(process);
      applyTold(execution, heard, job);
    }
    await turn();
  }
}
