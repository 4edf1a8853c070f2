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
const Marked = v.object({ running: v.nullable(ExecutionId) });

export function parseReady({ payload }: Told): v.InferOutput<typeof Ready> {
  return v.parse(v.fallback(Ready, { restored: false }), tryDecode(payload));
}

/** The execution that was under way when a mark was read. */
export function parseMarked({ payload }: Told): ExecutionId | undefined {
  return v.parse(v.fallback(Marked, { running: null }), tryDecode(payload)).running ?? undefined;
}

function tryDecode(payload: Uint8Array | undefined): unknown {
  try {
    return payload && decodeCbor(payload, MAX_FRAME_ITEMS);
  } catch {
    return undefined; // the same as nothing
  }
}
