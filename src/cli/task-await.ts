import { lookUp } from "../client/tasks/execution.ts";
import { describeReport } from "../commands/task-exec.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { toTaskVerb } from "./task-verb.ts";
import { attendExecution, type Wanted } from "./task-waiting.ts";

const args = {
  task: { type: "positional", required: true, description: "Which task" },
  execution: { type: "positional", required: true, description: "Which execution, by its id" },
  wait: { type: "boolean", description: "--no-wait tells at once where it is" },
  timeout: {
    type: "string",
    valueHint: "duration",
    description: "Exit with 124 after so long; the execution goes on",
  },
} as const satisfies ArgSpecs;

/** Waits for what comes of an execution that somebody has asked for. */
export const taskAwait = toTaskVerb({
  summary: "Wait for an execution of a task, and print what it answered, if it did",
  args,
  examples: [
    ["farhand task await counter 01993f…", "whoever has asked for it; exit with 1 when it threw"],
    ["farhand task await counter 01993f… --no-wait", "whether it waits, runs, or has ended"],
  ],
  run,
});

async function run(values: Arguments, context: Context): Promise<number> {
  const [task = "", execution = ""] = [values.text("task"), values.text("execution")];
  const wait = values.choice("wait") === false ? "queued" : "end";
  const inquiry = { task, execution, wait } as const;
  await using session = await openSession(context);
  const wanted: Wanted = {
    inquiry,
    isAnswerWanted: false,
    timeout: values.text("timeout"),
    describe: describeReport,
  };
  return await attendExecution(wanted, (signal) => lookUp(session, inquiry, signal), context);
}
