import { launchAttached, launchDetached } from "../../client/launch.ts";
import { checkSecrets } from "../../client/secrets.ts";
import type { Session } from "../../client/session.ts";
import { type Builtin, findCommand } from "../../commands/index.ts";
import { AppError } from "../../protocol/error.ts";
import type { Arguments, ArgSpecs } from "../arguments.ts";
import { type Context, openSession } from "../context.ts";
import { attend, leave } from "../exec.ts";
import { readGivenValue } from "../given-value.ts";
import { renderJson, toTextRenderer } from "../render.ts";
import type { Verb } from "../verb.ts";
import { asJson } from "../value-text.ts";
import { runForeground } from "./foreground.ts";
import { runJob } from "./job.ts";
import { jobArgs, type JobOptions, toJobOptions } from "./job-options.ts";
import { describe } from "./lookup.ts";

const args = {
  name: {
    type: "positional",
    required: true,
    description: "The command's name; farhand commands lists them",
  },
  input: {
    type: "string",
    alias: "i",
    valueHint: "json|@file|-",
    description: "Its input as JSON, as a file holds it, or stdin (default {})",
  },
  ...jobArgs,
  stdin: {
    type: "boolean",
    description:
      "Give it our stdin (the default where it takes bytes in the foreground); --no-stdin an empty one",
  },
} as const satisfies ArgSpecs;

/** Calls any command with an input that is written as JSON, and answers as JSON. */
export const callVerb: Verb = {
  summary: "Call any command, built in or the server's own, with its input as JSON",
  args,
  examples: [
    [`farhand call stat --input '{"paths": ["/srv"]}'`, "a built-in command, as it is on the wire"],
    ["farhand call deploy --input @deploy.json", "one of the server's own, with its input from a file"],
    ["farhand call nightly -i '{}' -d --max-exec-time 1h", "what becomes a job, on its own terms"],
    ["jq -n '{n: 3}' | farhand call count --input - | jq .n", "events one a line, then the result"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const name = values.text("name") ?? "";
  const text = values.text("input") ?? "{}";
  const options = toJobOptions(values);
  if (text === "-" && options.feeds)
    throw new AppError("invalid_input", `Cannot give "${name}" our stdin: --input has taken it`);
  const input = await readGivenValue(text, "--input", context);
  const wantsStdin = values.choice("stdin") ?? text !== "-";
  await using session = await openSession(context);
  const builtin = findCommand(name);
  if (builtin?.kind === "background") return await runExec(session, input, options, context);
  const known = builtin === undefined ? await describe(session, name, context.signal) : toKnown(builtin);
  if (known.kind === "background") {
    const render = context.globals.json ? renderJson : toTextRenderer(asJson);
    return await runJob(session, { command: known.name, input }, options, context, render);
  }
  checkForeground(name, options);
  const source = known.takesInput && wantsStdin ? context.stdin() : undefined;
  return await runForeground(session, known, { input, source, wording: asJson }, context);
}

function toKnown(command: Extract<Builtin, { kind: "foreground" }>) {
  const { kind, name, idempotent, event, takesInput = false } = command;
  return { kind, name, idempotent, event, takesInput, custom: false };
}

/** A program, whose terms stand in its input. */
async function runExec(
  session: Session,
  input: unknown,
  { terms, isDetached, feeds }: JobOptions,
  context: Context,
): Promise<number> {
  if (typeof input !== "object" || input === null)
    throw new AppError("invalid_input", 'Cannot call "exec": its input is no object');
  const asked = { ...input, ...terms, ...(feeds && { stdin: true }) };
  await checkSecrets(session, asked);
  return isDetached
    ? await leave(session, launchDetached(session, asked, { feeds }), context)
    : await attend(session, launchAttached(session, asked, { feeds }), context);
}

/** What answers at once starts no job that could have any terms. */
function checkForeground(name: string, { terms: { stdin: _stdin, ...terms }, isDetached }: JobOptions): void {
  const [option] = isDetached ? ["detach"] : Object.keys(terms);
  if (option === undefined) return;
  const what = option === "detach" ? "leave it running" : `have "${option}"`;
  throw new AppError(
    "invalid_input",
    `Cannot call "${name}" so: it answers at once, and starts no job that could ${what}`,
  );
}
