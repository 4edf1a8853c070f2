import { startTask } from "../client/tasks/lifecycle.ts";
import { toShipment } from "../client/tasks/shipment.ts";
import { taskStart as command } from "../commands/task-start.ts";
import { termsArgs, toTerms } from "../commands/terms.ts";
import { AppError } from "../protocol/error.ts";
import { RestartPolicy } from "../protocol/task.ts";
import { toFarhand } from "./advice.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { readGivenValue } from "./given-value.ts";
import { toTaskVerb } from "./task-verb.ts";

const args = {
  name: { type: "positional", required: true, description: "What it is called from now on" },
  module: {
    type: "positional",
    required: true,
    description: "A TypeScript or JavaScript file here, which is bundled with all that it imports",
  },
  args: {
    type: "string",
    valueHint: "json|@file|-",
    description: "What its init is given: JSON, a file of it, or JSON on stdin",
  },
  replace: { type: "boolean", description: "Stop the task of this name first, if there is one" },
  restart: {
    type: "string",
    valueHint: RestartPolicy.options.join("|"),
    choices: RestartPolicy.options,
    description: "Whether its process is started again when it dies by itself (default never)",
  },
  checkpoint: { type: "boolean", description: "Save its state after each execution" },
  "max-memory": termsArgs["max-memory"],
  "max-processes": termsArgs["max-processes"],
  nice: termsArgs.nice,
} as const satisfies ArgSpecs;

/** Ships a module and starts a task of it. */
export const taskStart = toTaskVerb({
  summary: "Ship a module to the server, and start a task of it",
  args,
  examples: [
    ["farhand task start counter counter.ts", "answers when its init has returned"],
    ["farhand task start counter counter.ts --replace", "after a change: stop the old one, and start this"],
    [
      "farhand task start counter counter.ts --restart on-failure --checkpoint",
      "when its process dies, another goes on with the state",
    ],
    ["farhand task start shop shop.ts --args @shop.json", "what its init is given"],
  ],
  run,
});

async function run(values: Arguments, context: Context): Promise<number> {
  const [name = "", module = "", given] = ["name", "module", "args"].map((arg) => values.text(arg));
  const { limits } = toTerms(values);
  const restart = parsePolicy(values.text("restart"));
  const terms = {
    ...(given !== undefined && { args: await readGivenValue(given, "--args", context) }),
    replace: values.flag("replace"),
    checkpoint: values.flag("checkpoint"),
    ...(restart && { restart }),
    ...(limits && { limits }),
  };
  const shipment = await toShipment(module);
  await using session = await openSession(context);
  const started = startTask(session, { name, shipment, terms }, context.signal);
  const task = await started.catch((error: unknown) => {
    if (context.signal.aborted) complain(context, toAdvice(name, context));
    throw error;
  });
  print(context, task, () => command.cli.show(task));
  return 0;
}

function toAdvice(name: string, { globals }: Context): string {
  return `Not waiting any longer: the task may start all the same; ${toFarhand(globals)} task show ${name} tells`;
}

function parsePolicy(text: string | undefined): RestartPolicy | undefined {
  const policy = RestartPolicy.options.find((policy) => policy === text);
  if (policy !== undefined || text === undefined) return policy;
  throw new AppError(
    "invalid_input",
    `Cannot use --restart "${text}": choose ${RestartPolicy.options.join(" or ")}`,
  );
}
