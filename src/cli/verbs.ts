import { exec } from "../commands/exec.ts";
import { jobs } from "../commands/jobs.ts";
import { kill } from "../commands/kill.ts";
import { ping } from "../commands/ping.ts";
import { wait } from "../commands/wait.ts";
import type { ArgSpecs, Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { runExec } from "./exec.ts";
import { followArgs, runFollow } from "./follow.ts";
import { runJobs } from "./jobs.ts";
import { runKill } from "./kill.ts";
import { runPing } from "./ping.ts";
import { runWait } from "./wait.ts";

/** Something that `farhand` can be told to do. */
export interface Verb {
  readonly summary: string;
  readonly args: ArgSpecs;
  /** What the rest of the command line is called in help, if there may be any. */
  readonly rest?: string;
  /** The rest begins at the first word that is no option, and is not searched for options. */
  readonly takesRest?: boolean;
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Answers the exit code. */
  readonly run: (values: Arguments, context: Context) => Promise<number>;
}

export const verbs: Readonly<Record<string, Verb>> = {
  exec: { ...exec.cli, summary: exec.summary, run: runExec },
  follow: {
    summary: "Show what a job said, then what it says, and exit with its code",
    args: followArgs,
    examples: [
      ["farhand follow 3", "everything it said, then live"],
      ["farhand follow @last --recent 20 --timestamps", "the last packets, each line with its time"],
      ["farhand follow 3 --since 1042", "go on where another reader stopped"],
    ],
    run: runFollow,
  },
  jobs: { ...jobs.cli, summary: jobs.summary, run: runJobs },
  wait: { ...wait.cli, summary: wait.summary, run: runWait },
  kill: { ...kill.cli, summary: kill.summary, run: runKill },
  ping: { ...ping.cli, summary: ping.summary, run: runPing },
};

/** The verb of this name, in any of its spellings (`send-input`, `send_input`). */
export function findVerb(name: string): Verb | undefined {
  const kebab = name.replaceAll("_", "-");
  return Object.hasOwn(verbs, kebab) ? verbs[kebab] : undefined;
}
