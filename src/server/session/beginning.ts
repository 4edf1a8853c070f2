import { abortable, turn } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { searchValue, type WantedValue } from "../../ledger/search.ts";
import { NO_TOTALS, type Totals } from "../../protocol/packet.ts";
import type { Job } from "../jobs/job.ts";

export interface BeginningOptions {
  /** Of the job's ledger. */
  readonly directory: string;
  readonly job: Job;
  readonly wanted: WantedValue;
  /** Nothing below this position of the ledger is wanted. */
  readonly onPassed: (position: number) => void;
}

/**
 * What a job had said before the packet at which reading begins: where a value does, however long that takes to come. Other things
 * have their turn meanwhile. Throws what `searchValue` does, and the signal's reason.
 */
export async function findBeginning(
  { directory, job, wanted, onPassed }: BeginningOptions,
  signal: AbortSignal,
): Promise<Totals> {
  const bell = new Bell();
  using _subscription = job.subscribe(() => bell.ring());
  const search = searchValue(
    {
      directory,
      job: job.start.job,
      limit: () => job.position,
      isComplete: () => job.isClosed,
    },
    wanted,
  );
  try {
    for (;;) {
      const { done, value } = search.next();
      if (done) return value;
      onPassed(value.position);
      await (value.isWaiting ? abortable(bell.wait(), signal) : turn());
      signal.throwIfAborted();
    }
  } finally {
    search.return(NO_TOTALS);
  }
}
