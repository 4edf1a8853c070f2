import { createExecutionId, execute } from "../client/tasks/execution.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { readGivenValue } from "./given-value.ts";
import { toTaskVerb } from "./task-verb.ts";
import { attendExecution, type Wanted } from "./task-waiting.ts";

const args = {
  task: { type: "positional", required: true, description: "Which task" },
  args: {
    type: "positional",
    description: "What it is given: JSON, @FILE, or - for JSON on stdin (default: nothing)",
  },
  wait: {
    type: "boolean",
    description: "--no-wait prints the execution's id as soon as it is queued",
  },
  await: { type: "boolean", description: "It is an error if it ends without an answer" },
  timeout: {
    type: "string",
    valueHint: "duration",
    description: "Exit with 124 after so long; the execution goes on",
  },
} as const satisfies ArgSpecs;

/** Has a task do something. */
export const taskExec = toTaskVerb({
  summary: "Have a task do something, wait until it is done, and print what it answers, if it does",
  args,
  examples: [
    [
      "farhand task exec counter '{\"add\": 2}'",
      "print what it answers; exit with 0 when it is done, with 1 when it threw",
    ],
    ["farhand task exec counter '{\"add\": 2}' --await", "exit with 125 if it does not answer"],
    ["farhand task exec shop @order.json --no-wait", "print the execution's id, for farhand task await"],
  ],
  run,
});

async function run(values: Arguments, context: Context): Promise<number> {
  const [task = "", given] = [values.text("task"), values.text("args")];
  const isAnswerWanted = values.flag("await");
  const wait = values.choice("wait") === false ? "queued" : "end";
  if (isAnswerWanted && wait === "queued")
    throw new AppError(
      "invalid_input",
      "Cannot await an answer without waiting: leave --no-wait or --await out",
    );
  const value = given === undefined ? undefined : await readGivenValue(given, "the arguments", context);
  const inquiry = { task, execution: createExecutionId(), wait } as const;
  await using session = await openSession(context);
  const wanted: Wanted = {
    inquiry,
    isAnswerWanted,
    timeout: values.text("timeout"),
    describe: ({ execution }) => execution,
  };
  return await attendExecution(wanted, (signal) => execute(session, inquiry, value, signal), context);
}
