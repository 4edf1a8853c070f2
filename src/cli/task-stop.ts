import { stopTask } from "../client/tasks/lifecycle.ts";
import { describeEnd, taskStop as command } from "../commands/task-stop.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, openSession } from "./context.ts";
import { readGivenValue } from "./given-value.ts";
import { printAnswer } from "./task-answer.ts";
import { toTaskVerb } from "./task-verb.ts";

const args = {
  task: { type: "positional", required: true, description: "Which task" },
  args: {
    type: "positional",
    description: "What its exit is given: JSON, @FILE, or - for JSON on stdin (default: nothing)",
  },
  grace: {
    type: "string",
    valueHint: "duration",
    description: "Time that what runs has to end, from TERM to KILL (default 5s, at most 1h)",
  },
} as const satisfies ArgSpecs;

/** Ends a task. */
export const taskStop = toTaskVerb({
  summary: command.summary,
  args,
  examples: [
    ["farhand task stop counter", "print what its exit answers, if it does"],
    ['farhand task stop shop \'{"reason": "closed"}\' --grace 1m', "what runs has a minute to end"],
  ],
  run,
});

async function run(values: Arguments, context: Context): Promise<number> {
  const given = values.text("args");
  const { task: name, grace } = command.cli.toInput(values);
  const value = given === undefined ? undefined : await readGivenValue(given, "the arguments", context);
  await using session = await openSession(context);
  const stopped = await stopTask(session, { name, value, grace }, context.signal);
  printAnswer(stopped, context);
  // What a script captures is the answer alone.
  if (!context.globals.json) complain(context, describeEnd(stopped));
  return 0;
}
