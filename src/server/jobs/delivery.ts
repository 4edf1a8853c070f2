import type { JobInputPiece } from "../../commands/access/jobs.ts";
import { abortable } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import type { WriterId } from "../../protocol/id.ts";
import type { KeeperLink } from "../keepers/keeper-link.ts";
import type { Job } from "./job.ts";

/**
 * Gives a job a piece of input. Resolves when its keeper holds all of it, also when it did before. Throws `not_running`,
 * `input_closed`, or `invalid_input` where something is missing before it.
 */
export async function deliver(job: Job, piece: JobInputPiece, signal: AbortSignal): Promise<void> {
  const { keeper } = job;
  if (job.exit !== undefined || keeper === undefined) throw notRunning(job);
  const { job: id } = job.start;
  const { offset, bytes, end, writer = crypto.randomUUID() as WriterId } = piece;
  const held = Promise.withResolvers<void>();
  using _listening = keeper.listen(id, writer, {
    taken(position, limit) {
      if (position >= offset + bytes.length) return held.resolve();
      if (position < offset) return held.reject(toGap(job, offset, position));
      if (limit <= position) return; // it says so when there is room
      // Sent again it does no harm: what is held is not taken twice.
      send(keeper, { id, writer, position, limit }, bytes.subarray(position - offset));
    },
    closed: () => held.reject(job.exit === undefined ? toClosed(job) : notRunning(job)),
  });
  await abortable(held.promise, signal);
  if (!end) return;
  keeper.send({ type: "end_input", job: id, writer, offset: offset + bytes.length });
  // It comes after that, so its answer says that the end has come. One that cannot be reached is told when it can be.
  await keeper.request({ type: "ping" }).catch(() => {});
}

interface Place {
  readonly id: Job["start"]["job"];
  readonly writer: WriterId;
  /** What the keeper holds of this writer, and how far it takes more. */
  readonly position: number;
  readonly limit: number;
}

/** In one piece; to a keeper of an older version, as much as it takes. */
function send(
  keeper: KeeperLink,
  { id: job, writer, position: offset, limit }: Place,
  bytes: Uint8Array,
): void {
  if (keeper.takesWhole) keeper.send({ type: "input", job, writer, offset, whole: true }, bytes);
  else keeper.send({ type: "input", job, writer, offset }, bytes.subarray(0, limit - offset));
}

function notRunning({ start }: Job): AppError {
  return new AppError("not_running", `Cannot send input to job ${start.number}: it has ended`);
}

function toClosed({ start }: Job): AppError {
  const why =
    "its input is closed; it was started without one that stays open (exec --open-stdin), or somebody has ended it";
  return new AppError("input_closed", `Cannot send input to job ${start.number}: ${why}`);
}

function toGap({ start }: Job, offset: number, held: number): AppError {
  const what = `this begins at ${offset}, and ${held} bytes came before`;
  return new AppError("invalid_input", `Cannot send input to job ${start.number}: ${what}`);
}
