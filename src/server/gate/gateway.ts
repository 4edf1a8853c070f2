import { createMiddleware } from "hono/factory";
import type { ErrorCode } from "../../protocol/error.ts";
import type { Visit } from "./gate.ts";

/** What later handlers find out from those that came before, and say to those. */
export interface GateVariables {
  visit: Visit;
  /** Why somebody was turned away, for whoever takes that down. */
  refused: { readonly code: ErrorCode; readonly message: string };
}

type Env = { Variables: GateVariables };

/**
 * Comes before everything else: a connection on which nobody was let in ends with its answer, and a wrong try is counted. What
 * comes from nowhere, since its connection is gone already, is not looked at: nothing could be held against anybody.
 */
export function greet(knock: (request: Request) => Visit | undefined) {
  return createMiddleware<Env>(async (context, next) => {
    const visit = knock(context.req.raw);
    if (visit === undefined) return context.body(null, 400);
    context.set("visit", visit);
    await next();
    if (visit.isAdmitted) return;
    if (context.res.status === 401) visit.fail();
    context.header("Connection", "close");
  });
}

/** For what trades a password or an invitation for a token. */
export const trade = createMiddleware<Env>(async (context, next) => {
  context.get("visit").trade();
  await next();
});

/** Comes before everything that looks at what a request presents: not at that of a source which tries too much. */
export const refusePenalized = createMiddleware<Env>(async (context, next) => {
  const { wait } = context.get("visit");
  if (wait === 0) return next();
  const seconds = Math.ceil(wait / 1_000);
  const message = "Cannot let you in: too much that was wrong came from your address";
  context.set("refused", { code: "too_many", message });
  context.header("Retry-After", String(seconds));
  // A client that is coming back goes on trying for this code.
  return context.json({ code: "unavailable", message: `${message}; try again in ${seconds} s` }, 429);
});
