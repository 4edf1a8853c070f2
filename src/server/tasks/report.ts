import type { ExecutionStream } from "../../commands/access/tasks.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { ExecutionWait } from "../../protocol/task.ts";
import type { Value } from "../../protocol/value.ts";
import type { Answer, Execution } from "./execution.ts";
import { readPayload } from "./place.ts";

/** What has been answered, as a result tells it: a value, or how many bytes were said of one that is too large for that. */
export type Answered = { readonly responded: boolean; readonly value?: Value; readonly valueBytes?: number };

/**
 * Waits for an execution, and tells what has come of it by then. Throws what it failed with, and `no_response` where its answer
 * is waited for and it has ended without.
 */
export async function* report(
  ledgers: string,
  { execution, restarts }: { readonly execution: Execution; readonly restarts: number },
  wait: ExecutionWait,
  signal: AbortSignal,
): ExecutionStream {
  await execution.waitFor(wait, signal);
  const { id, state, answer, error, process } = execution;
  // Whoever waits for the answer only does not mind what became of it afterwards.
  if (error !== undefined && (wait !== "response" || answer === undefined)) throw error;
  if (wait === "response" && answer === undefined)
    throw new AppError(
      "no_response",
      `Execution ${id} has ended without an answer: it never called context.respond`,
    );
  return {
    execution: id,
    state,
    ...(yield* tellAnswer(ledgers, answer)),
    restarts: process?.restarts ?? restarts,
    restored: process?.restored ?? false,
  };
}

/** What was answered: inline if a frame has room for it, and else as bytes on the way. */
export async function* tellAnswer(
  ledgers: string,
  answer: Answer | undefined,
): AsyncGenerator<Uint8Array, Answered, void> {
  if (answer === undefined) return { responded: false };
  const { job, place, payload } = answer;
  if (payload !== undefined) return { responded: true, value: toCborValue(payload) };
  const content = readPayload(ledgers, job, place);
  if (place.bytes > MAX_PAYLOAD_BYTES) {
    yield* content;
    return { responded: true, valueBytes: place.bytes };
  }
  return { responded: true, value: toCborValue(Buffer.concat(await Array.fromAsync(content))) };
}

/** It goes on as it is: what it says is nobody's here. */
function toCborValue(payload: Uint8Array): Value {
  return { encoding: "cbor", value: Buffer.from(payload).toString("base64url") };
}
