import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { JobResult } from "../protocol/job.ts";
import type { Outcome, Returned } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import { fromValue } from "../protocol/value.ts";
import type { ErrorPacket } from "./reading.ts";
import type { Session } from "./session.ts";

/** The outcome that a packet tells, if it does. */
export function findOutcome(packet: Packet | ErrorPacket): Outcome | undefined {
  if (packet.type === "exit") return packet.outcome;
  return packet.type === "closed" ? packet.exit.outcome : undefined;
}

/** What came of a job, with the value itself that it returned. Throws as `readReturned` does. */
export async function readResult(
  session: Session,
  answer: JobResult,
  signal?: AbortSignal,
): Promise<JobResult> {
  if (answer.type !== "value" || answer.outcome.type !== "returned") return answer;
  return { ...answer, value: await readReturned(session, answer.id, answer.outcome.value, signal) };
}

/**
 * The value that a job returned; where that takes more than an outcome has room for, it is read from the job's record. Throws
 * `incomplete_output` if that keeps it no longer, and what ends the session.
 */
export async function readReturned(
  session: Session,
  job: JobId,
  returned: Returned,
  signal?: AbortSignal,
): Promise<unknown> {
  if (returned.encoding !== "parts") return fromValue(returned);
  const output = session.openOutput(job, { type: "since", number: returned.first });
  const stop = () => output.close(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    for await (const packet of output) {
      output.consumed(packet);
      const outcome = findOutcome(packet);
      if (outcome?.type === "returned" && output.unread === undefined) return outcome.value;
      if (outcome !== undefined) break;
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    output.close();
  }
  throw new AppError(
    "incomplete_output",
    `Cannot read what job "${job}" returned: its record does not keep it any more`,
  );
}
