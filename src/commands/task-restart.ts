import * as v from "valibot";
import { TaskName, TaskSummary } from "../protocol/task.ts";
import { defineForeground } from "./define.ts";
import { describeTask } from "./task-list.ts";
import { TaskGrace } from "./task-stop.ts";

export const taskRestart = defineForeground({
  name: "task-restart",
  summary: "Start a task's process anew, with the state that was saved last",
  permission: "exec",
  idempotent: false,
  input: v.object({ task: TaskName, grace: TaskGrace }),
  positional: ["task"],
  result: TaskSummary,

  run: ({ task, grace }, { tasks, signal }) => tasks.restart(task, grace, signal),

  cli: {
    args: { task: { type: "positional", required: true, description: "Which task" } },
    examples: [["farhand task restart counter", "also one that was stopped, or has failed"]],
    toInput: (values) => ({ task: values.text("task") ?? "" }),
    show: describeTask,
  },
});
