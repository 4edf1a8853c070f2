import * as v from "valibot";
import { count } from "../lib/count.ts";
import { DEFAULT_GRACE, MAX_GRACE } from "../protocol/limits.ts";
import { ExecutionId, TaskArgs, TaskEnd, TaskName } from "../protocol/task.ts";
import { defineStream } from "./define.ts";
import { parseGrace } from "./terms.ts";

/** Milliseconds from being asked to end to KILL. */
export const TaskGrace = v.optional(
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE)),
  DEFAULT_GRACE,
);

export const taskStop = defineStream({
  name: "task-stop",
  summary: "End a task: its exit runs, what waits is refused",
  permission: "exec",
  idempotent: false,
  takesInput: true,
  confidential: ["args"],
  input: v.object({
    task: TaskName,
    /** Made by the caller; who asks again under the same is answered what `exit` has answered. */
    execution: v.optional(ExecutionId),
    /** What `exit` is given. */
    ...TaskArgs.entries,
    /** What runs is told to end; when that takes longer, the process is killed. */
    grace: TaskGrace,
  }),
  positional: ["task"],
  /** It says bytes only: what `exit` answered, where that takes more than 64 KiB. */
  event: v.never(),
  result: TaskEnd,

  run: ({ task, execution, args, argBytes, grace }, { tasks, input, signal }) =>
    tasks.stop({ task, execution, args: { args, argBytes, input }, grace }, signal),

  cli: {
    args: {
      task: { type: "positional", required: true, description: "Which task" },
      grace: {
        type: "string",
        valueHint: "duration",
        description: "Time that it has to end (default 5s, at most 1h)",
      },
    },
    examples: [],
    toInput(values) {
      const grace = values.text("grace");
      return { task: values.text("task") ?? "", ...(grace !== undefined && { grace: parseGrace(grace) }) };
    },
    show: String,
    conclude: describeEnd,
  },
});

/** How a task has ended, in a sentence. */
export function describeEnd({ name, end, dropped }: Pick<TaskEnd, "name" | "end" | "dropped">): string {
  const how = { exited: "has ended", killed: "was killed", down: "was not running" }[end];
  return `Task ${name} ${how}${dropped > 0 ? `; ${count(dropped, "execution")} not started` : ""}`;
}
