import * as v from "valibot";
import { ExecutionId, ExecutionReport, ExecutionWait, TaskArgs, TaskName } from "../protocol/task.ts";
import { defineStream } from "./define.ts";

export const taskExec = defineStream({
  name: "task-exec",
  summary: "Have a task do something, behind what it has to do already",
  permission: "exec",
  // What became of one that was not answered, `task-await` tells.
  idempotent: false,
  takesInput: true,
  confidential: ["args"],
  input: v.object({
    task: TaskName,
    /** Made by the caller; a second one of the same id is answered as the first, and not done again. */
    execution: ExecutionId,
    ...TaskArgs.entries,
    /** `response`: one that ends without is `no_response`. */
    wait: v.optional(ExecutionWait, "end"),
  }),
  positional: ["task"],
  /** It says bytes only: an answer that takes more than 64 KiB. */
  event: v.never(),
  result: ExecutionReport,

  run: ({ task, execution, args, argBytes, wait }, { tasks, input, signal }) =>
    tasks.execute({ task, execution, args: { args, argBytes, input }, wait }, signal),

  cli: {
    args: { task: { type: "positional", required: true, description: "Which task" } },
    examples: [],
    toInput: (values) => ({ task: values.text("task") ?? "", execution: values.rest[0] ?? "" }),
    show: String,
    conclude: describeReport,
  },
});

/** Where an execution is, in a few words. */
export function describeReport({
  execution,
  state,
  restarts,
  restored,
}: Pick<ExecutionReport, "execution" | "state" | "restarts" | "restored">): string {
  const again = restarts === 0 ? "" : `; its state ${restored ? "was restored" : "began anew"}`;
  return `Execution ${execution} ${state === "responded" ? "has answered" : `is ${state}`}${again}`;
}
