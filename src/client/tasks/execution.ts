import { taskAwait } from "../../commands/task-await.ts";
import { taskExec } from "../../commands/task-exec.ts";
import type { ExecutionId, ExecutionReport, ExecutionWait } from "../../protocol/task.ts";
import { invokeStream } from "../invoke.ts";
import type { Session } from "../session.ts";
import { readAnswer } from "./answer.ts";
import { toSentArgs } from "./arguments.ts";
import { isUnknown } from "./unknown.ts";

/** What came of an execution of a task. */
export interface Execution extends Omit<ExecutionReport, "value" | "valueBytes"> {
  /** What it answered; undefined where it has not. */
  readonly value: unknown;
}

/** Which execution, and what of it is waited for. */
export interface Inquiry {
  readonly task: string;
  readonly execution: string;
  readonly wait: ExecutionWait;
}

/** Names an execution before it is there. */
export function createExecutionId(): ExecutionId {
  return Bun.randomUUIDv7() as ExecutionId; // a UUID in lower case
}

/**
 * Has a task do something. Where the answer is lost with a server that was restarted, it is looked up. Throws what the
 * execution failed with, or the signal's reason: then it goes on all the same.
 */
export async function execute(
  session: Session,
  inquiry: Inquiry,
  value: unknown,
  signal?: AbortSignal,
): Promise<Execution> {
  const { args, source } = toSentArgs(value);
  // Without bytes beside the call no channel is opened for them.
  const command = { ...taskExec, takesInput: source !== undefined };
  try {
    return await readAnswer(invokeStream(session, command, { ...inquiry, ...args }, { signal, source }));
  } catch (error) {
    if (!isUnknown(error)) throw error;
    return await lookUp(session, inquiry, signal);
  }
}

/** Tells what came of an execution, or comes. Throws as `execute` does, and `not_started` for one that never began. */
export async function lookUp(session: Session, inquiry: Inquiry, signal?: AbortSignal): Promise<Execution> {
  for (;;) {
    try {
      return await readAnswer(invokeStream(session, taskAwait, inquiry, { signal }));
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
  }
}
