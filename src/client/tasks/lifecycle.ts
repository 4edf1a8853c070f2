import { taskStart } from "../../commands/task-start.ts";
import { taskStop } from "../../commands/task-stop.ts";
import { AppError } from "../../protocol/error.ts";
import type { RestartPolicy, TaskEnd, TaskSummary } from "../../protocol/task.ts";
import type { JobLimits } from "../../protocol/terms.ts";
import { invoke, invokeStream } from "../invoke.ts";
import { createJobId } from "../launch.ts";
import type { Session } from "../session.ts";
import { readAnswer } from "./answer.ts";
import { toSentArgs } from "./arguments.ts";
import { createExecutionId } from "./execution.ts";
import { type Shipment, ship } from "./shipment.ts";
import { isUnknown } from "./unknown.ts";

/** How a task is started. */
export interface TaskTerms {
  /** What `init` is given. */
  readonly args?: unknown;
  /** Stop the task of this name first, if there is one. */
  readonly replace?: boolean;
  /** Whether its process is started again when it dies by itself (default `never`). */
  readonly restart?: RestartPolicy;
  /** Save its state after each execution. */
  readonly checkpoint?: boolean;
  readonly limits?: JobLimits;
}

/**
 * Starts a task and answers when its `init` has returned. The bundle is sent only where the server says that it has it not.
 * The job's id is ours, so that a call whose answer is lost can be repeated.
 */
export async function startTask(
  session: Session,
  {
    name,
    shipment,
    terms,
  }: { readonly name: string; readonly shipment: Shipment; readonly terms: TaskTerms },
  signal?: AbortSignal,
): Promise<TaskSummary> {
  const { args: value, ...how } = terms;
  const { args, source } = toSentArgs(value);
  const command = { ...taskStart, takesInput: source !== undefined };
  const input = { name, module: shipment.hash, job: createJobId(), ...how, ...args };
  for (let isShipped = false; ;) {
    try {
      return await invoke(session, command, input, signal, source);
    } catch (error) {
      if (isUnknown(error)) continue;
      if (!(error instanceof AppError) || error.code !== "unknown_module" || isShipped) throw error;
      await ship(session, shipment, signal);
      isShipped = true;
    }
  }
}

/** What came of stopping a task. */
export interface Stopped extends Omit<TaskEnd, "value" | "valueBytes"> {
  /** What `exit` answered; undefined where it has not. */
  readonly value: unknown;
}

/** Ends a task, whose `exit` is given `value`. `grace`: milliseconds that what runs has to end. */
export async function stopTask(
  session: Session,
  {
    name,
    value,
    grace,
  }: { readonly name: string; readonly value?: unknown; readonly grace?: number | undefined },
  signal?: AbortSignal,
): Promise<Stopped> {
  const { args, source } = toSentArgs(value);
  const command = { ...taskStop, takesInput: source !== undefined };
  const execution = createExecutionId();
  const input = { task: name, execution, ...(grace !== undefined && { grace }), ...args };
  for (;;) {
    try {
      return await readAnswer(invokeStream(session, command, input, { signal, source }));
    } catch (error) {
      if (!isUnknown(error)) throw error; // a server that was started again knows what became of it
    }
  }
}
