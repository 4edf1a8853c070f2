import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Listener } from "./listener.ts";

/** All that a job said, and how it ended. */
export interface Completed {
  readonly job: JobId;
  readonly number: number;
  readonly outcome: Outcome;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

/** Listens to the exit. Throws `incomplete_output` when something is missing. */
export async function collect(listener: Listener): Promise<Completed> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const packet of listener) {
    if (packet.type === "stdout" || packet.type === "stderr") chunks[packet.type].push(packet.bytes);
    if (packet.type === "gap") {
      throw new AppError(
        "incomplete_output",
        `Output of job ${listener.number} is incomplete: packets ${packet.number} to ${packet.next - 1} are gone`,
      );
    }
  }
  return {
    job: listener.job,
    number: listener.number,
    outcome: await listener.outcome,
    stdout: Buffer.concat(chunks.stdout),
    stderr: Buffer.concat(chunks.stderr),
  };
}
