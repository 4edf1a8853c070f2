import { type Context, Hono } from "hono";
import { createMiddleware } from "hono/factory";
import * as v from "valibot";
import { AppError, type ErrorCode } from "../protocol/error.ts";
import { SUBPROTOCOL } from "../protocol/hello.ts";
import type { Refusal } from "./audit/refusals.ts";
import type { Identity } from "./auth/identity.ts";
import { type Authenticate, toBearer } from "./auth/local.ts";
import type { KeeperState } from "./keepers/keeper-link.ts";
import { isLoopback } from "./listen.ts";
import { type StopReport, StopRequest } from "./shutdown.ts";

/** What the running server tells of itself to those who may know. */
export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly listen: readonly string[];
  /** All that live, with the jobs that each has. */
  readonly keepers: readonly (KeeperState & { readonly id: string; readonly jobs: number })[];
  readonly jobs: { readonly running: number; readonly total: number };
}

export interface AppOptions {
  readonly authenticate: Authenticate;
  /** The address that a request comes from, or `unix`. */
  readonly toSource: (request: Request) => string;
  readonly isReady: () => boolean;
  /** Whether nothing new is accepted any more. */
  readonly isStopping: () => boolean;
  readonly status: () => ServerStatus;
  /** Stops the server on somebody's behalf; resolves when what it should do first is done. Throws `forbidden`. */
  readonly stop: (request: StopRequest, identity: Identity) => Promise<StopReport>;
  /** Somebody was turned away. */
  readonly onRefused: (refusal: Refusal) => void;
  /** Lets a request's answer take as long as it may need. */
  readonly hold: (request: Request) => void;
  /** Makes the request's connection a channel of somebody; false when it cannot. */
  readonly upgrade: (request: Request, identity: Identity) => boolean;
  readonly onError: (error: Error) => void;
}

type Variables = { identity: Identity; refused: { readonly code: ErrorCode; readonly message: string } };

/** Codes that say that somebody may not, rather than that something cannot be. */
const REFUSALS: readonly ErrorCode[] = ["unauthenticated", "forbidden", "too_many"];

/** The HTTP side of a server: nothing but liveness is told to whom is not authenticated. */
export function createApp({
  authenticate,
  toSource,
  isReady,
  isStopping,
  status,
  stop,
  onRefused,
  hold,
  upgrade,
  onError,
}: AppOptions) {
  const app = new Hono<{ Variables: Variables }>();

  app.use("*", async (context, next) => {
    await next();
    const refused = context.get("refused");
    if (refused === undefined || !REFUSALS.includes(refused.code)) return;
    const { code: outcome, message } = refused;
    onRefused({ source: toSource(context.req.raw), outcome, message, user: context.get("identity")?.owner });
  });
  app.use("*", checkHost, checkOrigin);
  app.get("/healthz", (context) => context.text("ok\n"));
  app.get("/readyz", (context) => {
    if (isStopping()) return context.text("stopping\n", 503);
    return isReady() ? context.text("ready\n") : context.text("starting\n", 503);
  });

  app.use("*", async (context, next) => {
    const token = toBearer(context.req.header("authorization"));
    const identity = authenticate(token, toSource(context.req.raw));
    if (identity === undefined) {
      return refuse(context, 401, "unauthenticated", "Cannot let you in: the token is missing or wrong");
    }
    context.set("identity", identity);
    await next();
  });

  app.get("/v1/channel", (context) => {
    const offered =
      context.req
        .header("sec-websocket-protocol")
        ?.split(",")
        .map((name) => name.trim()) ?? [];
    if (context.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return refuse(context, 426, "protocol_error", "Cannot open a channel: this is no WebSocket upgrade");
    }
    if (!offered.includes(SUBPROTOCOL)) {
      return refuse(
        context,
        400,
        "unsupported_version",
        `Cannot open a channel: offer the subprotocol ${SUBPROTOCOL}`,
      );
    }
    if (isStopping())
      return refuse(
        context,
        503,
        "shutting_down",
        "Cannot open a channel: the server stops; try again later",
      );
    // Bun has answered the upgrade itself; the response that Hono wants is never sent.
    if (upgrade(context.req.raw, context.get("identity"))) return new Response(null);
    return refuse(context, 400, "protocol_error", "Cannot open a channel: the upgrade is malformed");
  });
  app.get("/v1/status", (context) => context.json(status()));
  app.post("/v1/stop", async (context) => {
    const request = v.safeParse(StopRequest, await context.req.json().catch(() => ({})));
    if (!request.success)
      return refuse(context, 400, "invalid_input", `Cannot stop: ${request.issues[0].message}`);
    hold(context.req.raw);
    return context.json(await stop(request.output, context.get("identity")), 202);
  });

  app.notFound((context) =>
    refuse(context, 404, "not_found", "Cannot answer: there is nothing at this address"),
  );
  app.onError((error, context) => {
    if (error instanceof AppError && error.code === "forbidden")
      return refuse(context, 403, error.code, error.message);
    onError(error);
    return refuse(context, 500, "internal", "The server failed unexpectedly: its log says why");
  });
  return app;
}

/** A page that reaches us by a name of its own (DNS rebinding) is refused. */
const checkHost = createMiddleware(async (context, next) => {
  const [, bracketed, plain] =
    /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(context.req.header("host") ?? "") ?? [];
  if (!isLoopback(bracketed ?? plain ?? "")) {
    return refuse(context, 403, "forbidden", "Cannot answer: the Host header names another server");
  }
  await next();
});

/** Programs send no Origin. A page may come from this very server only. */
const checkOrigin = createMiddleware(async (context, next) => {
  const origin = context.req.header("origin");
  if (origin !== undefined && origin !== `http://${context.req.header("host")}`) {
    return refuse(context, 403, "forbidden", "Cannot answer: the request comes from a foreign page");
  }
  await next();
});

function refuse(
  context: Context,
  status: 400 | 401 | 403 | 404 | 426 | 500 | 503,
  code: ErrorCode,
  message: string,
): Response {
  context.set("refused", { code, message });
  return context.json({ code, message }, status);
}
