import * as v from "valibot";
import { ExecutionId, ExecutionReport, ExecutionWait, TaskName } from "../protocol/task.ts";
import { defineStream } from "./define.ts";
import { describeReport } from "./task-exec.ts";

export const taskAwait = defineStream({
  name: "task-await",
  summary: "Tell what came of an execution of a task",
  permission: "exec",
  idempotent: true,
  input: v.object({
    task: TaskName,
    execution: ExecutionId,
    /** `queued`: tell at once where it is. */
    wait: v.optional(ExecutionWait, "end"),
  }),
  positional: ["task", "execution"],
  /** It says bytes only: an answer that takes more than 64 KiB. */
  event: v.never(),
  result: ExecutionReport,

  run: (inquiry, { tasks, signal }) => tasks.inquire(inquiry, signal),

  cli: {
    args: {
      task: { type: "positional", required: true, description: "Which task" },
      execution: { type: "positional", required: true, description: "Which execution" },
    },
    examples: [],
    toInput: (values) => ({ task: values.text("task") ?? "", execution: values.text("execution") ?? "" }),
    show: String,
    conclude: describeReport,
  },
});
