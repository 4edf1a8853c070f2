import { type Order, orderAttached, orderDetached } from "../../client/launch.ts";
import type { Session } from "../../client/session.ts";
import type { Context } from "../context.ts";
import { attend, leave } from "../exec.ts";
import type { Renderer } from "../render.ts";
import type { JobOptions } from "./job-options.ts";

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
