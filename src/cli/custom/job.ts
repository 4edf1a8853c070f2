import { orderAttached, orderDetached, type Order } from "../../client/launch.ts";
import type { Session } from "../../client/session.ts";
import type { CliValues } from "../../commands/define.ts";
import { keepArg, termsArgs, toKeepOutput, toTerms } from "../../commands/terms.ts";
import type { ArgSpecs } from "../arguments.ts";
import type { Context } from "../context.ts";
import { attend, leave } from "../exec.ts";
import type { Renderer } from "../render.ts";

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

/** Starts its job, and answers the code that says how that ended, or once it has started. */
export async function runJob(
  session: Session,
  order: Omit<Order, "terms">,
  { terms, isDetached, feeds }: JobOptions,
  context: Context,
  render?: Renderer,
): Promise<number> {
  const asked = { ...order, terms };
  if (isDetached) return await leave(session, orderDetached(session, asked, { feeds }), context);
  return await attend(session, orderAttached(session, asked, { feeds }), context, {
    render,
    unit: "values",
  });
}
