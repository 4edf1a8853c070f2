import { findProcess, type StartRecord } from "../../ledger/start.ts";
import { sessionMembers } from "../../process/identity.ts";
import { signalGroup } from "../../process/signal.ts";
import { type Order, Termination } from "../../process/termination.ts";
import type { ProcessTable } from "../../process/table.ts";
import { Tree } from "../../process/tree.ts";
import { AppError } from "../../protocol/error.ts";
import type { Ended, ProcessIdentity } from "../../protocol/job.ts";

/** A job that nobody keeps any more, with what its ledger says of its process. */
export interface LostJob {
  /** Its ledger's. */
  readonly directory: string;
  readonly start: StartRecord;
}

/** Its processes that still live, or did some milliseconds ago: there may be many such jobs to tell of. */
export function findLiving(job: LostJob, table: ProcessTable): ProcessIdentity[] {
  const living = findTree(job, table)?.find() ?? [];
  return living.map(({ pid, startTime }) => ({ pid, startTime }));
}

/** Signals its group directly, if that is still the same one. Throws `not_running`. */
export function signalLost({ directory, start }: LostJob, signal: NodeJS.Signals): void {
  const leader = findProcess(directory);
  if (leader !== undefined && sessionMembers(leader).length > 0 && signalGroup(leader.pid, signal)) return;
  throw notRunning(start);
}

/** Ends what is left of it, as its keeper would; the table knows then that it is gone. Throws `not_running`. */
export async function endLost(job: LostJob, order: Order, table: ProcessTable): Promise<Ended> {
  await table.readSoon(performance.now()); // what was listed before is not to be told of again
  const tree = findTree(job, table);
  if (tree === undefined || (await tree.findSoon()).length === 0) throw notRunning(job.start);
  return new Termination({ find: () => tree.findSoon(), leader: tree.leader }, order).ended;
}

function findTree({ directory, start }: LostJob, table: ProcessTable): Tree | undefined {
  const leader = findProcess(directory);
  return leader && new Tree({ leader, mark: start.job, table });
}

export function notRunning({ number }: StartRecord): AppError {
  return new AppError("not_running", `Cannot signal job ${number}: none of its processes is running`);
}
