import { launchAttached } from "../client/launch.ts";
import { termsArgs, toTerms } from "../commands/terms.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { attendOnTerminal } from "./exec.ts";
import { escapeArg, parseEscape } from "./escape-keys.ts";
import { toTerminal } from "./terminal.ts";
import type { Verb } from "./verb.ts";

/** Opens the user's login shell on a terminal of the server. */
export const shell: Verb = {
  summary: "Open a shell on the server, in a terminal",
  args: {
    ...escapeArg,
    cwd: {
      type: "string",
      valueHint: "dir",
      description: "Working directory, counted from the workspace's (default: that one)",
    },
    ...termsArgs,
  },
  examples: [
    ["farhand -H web1 shell", "a login shell; ~. at the beginning of a line disconnects, ~? lists more"],
    ["farhand -H web1 shell --on-disconnect kill", "one that ends when this client is gone for two minutes"],
    ["farhand attach @last", "come back to one that was left by ~d"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const escape = parseEscape(values.text("escape") ?? "~");
  const cwd = values.text("cwd");
  const terminal = toTerminal(context);
  const input = {
    login: true,
    stdin: true,
    terminal,
    ...(cwd !== undefined && { cwd }),
    ...toTerms(values),
  };
  await using session = await openSession(context);
  return await attendOnTerminal(session, launchAttached(session, input), context, { ...input, escape });
}
