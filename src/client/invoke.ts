import * as v from "valibot";
import type { ForegroundCommand } from "../commands/define.ts";
import { AppError } from "../protocol/error.ts";
import type { Session } from "./session.ts";

/** Calls a foreground command and checks what comes back. Throws as the command fails, or the signal's reason. */
export async function invoke<S extends v.GenericSchema, R extends v.GenericSchema>(
  session: Session,
  command: ForegroundCommand<S, R>,
  input: v.InferInput<S>,
  signal?: AbortSignal,
): Promise<v.InferOutput<R>> {
  const parsed = v.safeParse(
    command.result,
    await session.call(command.name, input, { signal, isIdempotent: command.idempotent }),
  );
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new AppError(
    "protocol_error",
    `Cannot accept the result of "${command.name}": it is not valid at "${v.getDotPath(issue) ?? "."}": ${issue.message}`,
  );
}
