import * as v from "valibot";
import { TaskSummary } from "../protocol/task.ts";
import { defineForeground } from "./define.ts";
import { align } from "./table.ts";

export const taskList = defineForeground({
  name: "task-list",
  summary: "List the tasks that you may see",
  permission: "read",
  idempotent: true,
  input: v.object({}),
  /** By name. */
  result: v.object({ tasks: v.array(TaskSummary) }),

  run: async (_input, { tasks }) => ({ tasks: [...tasks.list()] }),

  cli: {
    args: {},
    examples: [["farhand task list", "all of them"]],
    toInput: () => ({}),
    show: ({ tasks }) =>
      tasks.length === 0
        ? "No tasks"
        : align([["TASK", "STATE", "JOB", "WAITING", "RESTARTS", "OWNER"], ...tasks.map(toRow)]).join("\n"),
  },
});

/** What a task is, in a line. */
export function describeTask({ name, state, job }: TaskSummary): string {
  return `Task ${name} is ${state}${job === undefined ? "" : `: job ${job.number}`}`;
}

function toRow({ name, state, job, waiting, restarts, owner }: TaskSummary): readonly string[] {
  return [name, state, job === undefined ? "" : String(job.number), String(waiting), String(restarts), owner];
}
