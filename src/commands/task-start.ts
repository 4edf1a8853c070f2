import * as v from "valibot";
import { JobId } from "../protocol/id.ts";
import { ModuleHash, RestartPolicy, TaskArgs, TaskName, TaskSummary } from "../protocol/task.ts";
import { JobLimits } from "../protocol/terms.ts";
import { defineForeground } from "./define.ts";
import { describeTask } from "./task-list.ts";

export const taskStart = defineForeground({
  name: "task-start",
  summary: "Start a task, whose bundle the server has, and wait for its init",
  permission: "exec",
  // With a job's id that the caller made it may be repeated.
  idempotent: false,
  takesInput: true,
  confidential: ["args"],
  input: v.object({
    name: TaskName,
    module: ModuleHash,
    /** What `init` is given; it is kept, for a process that is started anew. */
    ...TaskArgs.entries,
    /** The job that it becomes. Where the task is that already, it is answered and not started again. */
    job: v.optional(JobId),
    /** Stop the one of this name first. */
    replace: v.optional(v.boolean(), false),
    restart: v.optional(RestartPolicy, "never"),
    /** Save the state after each execution. */
    checkpoint: v.optional(v.boolean(), false),
    limits: v.optional(JobLimits),
  }),
  positional: ["name"],
  result: TaskSummary,

  run: ({ name, module, args, argBytes, job, replace, restart, checkpoint, limits }, context) =>
    context.tasks.start(
      {
        name,
        module,
        args: { args, argBytes, input: context.input },
        job,
        replace,
        restart,
        checkpoint,
        limits,
      },
      context.signal,
    ),

  cli: {
    args: {
      name: { type: "positional", required: true, description: "What it is called from now on" },
      replace: { type: "boolean", description: "Stop the task of this name first" },
      checkpoint: { type: "boolean", description: "Save its state after each execution" },
    },
    examples: [],
    toInput: (values) => ({
      name: values.text("name") ?? "",
      module: values.rest[0] ?? "",
      replace: values.flag("replace"),
      checkpoint: values.flag("checkpoint"),
    }),
    show: describeTask,
  },
});
