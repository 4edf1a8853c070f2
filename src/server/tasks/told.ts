import * as v from "valibot";
import { decodeCbor } from "../../protocol/cbor/decode.ts";
import { isPlain } from "../../protocol/cbor/plain.ts";
import { AppError, ErrorBody, fromErrorBody } from "../../protocol/error.ts";
import type { JobId } from "../../protocol/id.ts";
import { MAX_FRAME_ITEMS } from "../../protocol/limits.ts";
import { ExecutionId } from "../../protocol/task.ts";
import type { Told } from "../../protocol/told.ts";
import type { Execution } from "./execution.ts";
import type { Heard } from "./hearing.ts";

/** Notes in an execution what a job has told of it. */
export function applyTold(
  execution: Execution,
  { told, place }: Extract<Heard, { readonly type: "told" }>,
  job: JobId,
): void {
  switch (told.type) {
    case "responded":
      return execution.respond({ job, place, payload: told.payload });
    case "finished":
      return execution.finish();
    case "threw":
      return execution.fail(toThrownError(told));
    default:
      return;
  }
}

/** What a runner says was thrown. What it says is not trusted to be an error. */
export function toThrownError({ payload }: Told): AppError {
  const body = v.safeParse(ErrorBody, tryDecode(payload));
  if (body.success && isPlain(body.output)) return fromErrorBody(body.output);
  return new AppError("threw", "The task threw something that cannot be told");
}

const Ready = v.object({ restored: v.boolean() });
const MarkedPayload = v.object({ running: v.nullable(ExecutionId), ending: v.optional(v.boolean(), false) });

/** What a process is doing as it reads a mark. */
export interface Marked {
  /** The execution that is under way. */
  readonly running: ExecutionId | undefined;
  /** It was told to end, and begins nothing else. */
  readonly isEnding: boolean;
}

export function parseReady({ payload }: Told): v.InferOutput<typeof Ready> {
  return v.parse(v.fallback(Ready, { restored: false }), tryDecode(payload));
}

export function parseMarked({ payload }: Told): Marked {
  const nothing = { running: null, ending: false };
  const { running, ending } = v.parse(v.fallback(MarkedPayload, nothing), tryDecode(payload));
  return { running: running ?? undefined, isEnding: ending };
}

function tryDecode(payload: Uint8Array | undefined): unknown {
  try {
    return payload && decodeCbor(payload, MAX_FRAME_ITEMS);
  } catch {
    return undefined; // the same as nothing
  }
}
