import type { Order } from "../../client/launch.ts";
import type { CliValues } from "../../commands/define.ts";
import { keepArg, termsArgs, toKeepOutput, toTerms } from "../../commands/terms.ts";
import type { ArgSpecs } from "../arguments.ts";

/** Options of every command of a server's own that becomes a job. */
export const jobArgs = {
  detach: { type: "boolean", alias: "d", description: "Print the job's id and leave it running" },
  stdin: {
    type: "boolean",
    description: "Give it our stdin; --no-stdin an empty one; without, it is left open for send-input",
  },
  "keep-output": keepArg,
  ...termsArgs,
} as const satisfies ArgSpecs;

/** What was asked for of a job, besides its command's input. */
export interface JobOptions {
  readonly terms: Order["terms"];
  readonly isDetached: boolean;
  /** Whether it gets our stdin. */
  readonly feeds: boolean;
}

/** Reads those options. Throws a `RangeError` or `invalid_input`, naming the option. */
export function toJobOptions(values: CliValues): JobOptions {
  const stdin = values.choice("stdin");
  return {
    terms: { ...toTerms(values), ...toKeepOutput(values), ...(stdin === false && { stdin }) },
    isDetached: values.flag("detach"),
    feeds: stdin === true,
  };
}
