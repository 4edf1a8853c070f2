import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { formatSize } from "../lib/size.ts";
import { TaskDetails, TaskName } from "../protocol/task.ts";
import { defineForeground } from "./define.ts";

export const taskShow = defineForeground({
  name: "task-show",
  summary: "Show all that is known of a task",
  permission: "read",
  idempotent: true,
  input: v.object({ task: TaskName }),
  positional: ["task"],
  result: TaskDetails,

  run: async ({ task }, { tasks }) => tasks.show(task),

  cli: {
    args: { task: { type: "positional", required: true, description: "Which task" } },
    examples: [["farhand task show counter", "its job, module, queue, and what was saved of its state"]],
    toInput: (values) => ({ task: values.text("task") ?? "" }),
    show: toText,
  },
});

function toText(task: TaskDetails): string {
  const lines = toLines(task).filter((line): line is [string, string] => line[1] !== undefined);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${escapeControls(value)}`).join("\n");
}

function toLines(task: TaskDetails): (readonly [name: string, value: string | undefined])[] {
  const { job, executed, saved, error } = task;
  return [
    ["task", task.name],
    ["state", task.state],
    ["job", job && `${job.number} (${job.id})`],
    ["module", `${task.module} (${formatSize(task.moduleBytes)})`],
    ["owner", task.owner],
    ["role", task.role],
    ["directory", task.cwd],
    ["started", task.startedAt],
    ["restarts", `${task.restarts} (policy: ${task.restart})`],
    ["restarts at", task.restartsAt],
    ["began", task.restored ? "with a saved state" : "with init"],
    ["checkpoint", task.checkpoint ? "after each execution" : "when it saves"],
    ["saved", saved && `${saved.at}, ${formatSize(saved.bytes)}`],
    ["executing", task.execution],
    ["waiting", `${task.waiting} (${formatSize(task.waitingBytes)})`],
    ["executed", `${executed.finished} finished, ${executed.threw} threw, ${executed.crashed} crashed`],
    ["error", error && `${error.code}: ${error.message}`],
  ];
}
