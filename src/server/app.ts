import { type Context, Hono } from "hono";
import * as v from "valibot";
import { AppError, type ErrorCode } from "../protocol/error.ts";
import { SUBPROTOCOL } from "../protocol/hello.ts";
import type { Refusal } from "./audit/refusals.ts";
import { type Admission, JoinRequest, LoginRequest } from "../protocol/invite.ts";
import type { Admissions } from "./auth/admission.ts";
import type { Pin } from "../protocol/pin.ts";
import type { Identity } from "./auth/identity.ts";
import { type Authenticate, toBearer } from "./auth/local.ts";
import type { Ticket } from "./auth/tickets.ts";
import { readBody, readJson } from "./gate/body.ts";
import type { Visit } from "./gate/gate.ts";
import { type GateVariables, greet, refusePenalized, trade } from "./gate/gateway.ts";
import type { KeeperState } from "./keepers/keeper-link.ts";
import { isOwnHost, isOwnOrigin } from "./host.ts";
import type { ReloadReport } from "./reload.ts";
import { type StopReport, StopRequest } from "./shutdown.ts";

/** What the running server tells of itself to those who may know. */
export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly listen: readonly string[];
  /** Where TLS is served: the fingerprint of its key, when its certificate runs out, and whether nobody else has signed that. */
  readonly tls?: { readonly pin: Pin; readonly expires: string; readonly isSelfSigned: boolean } | undefined;
  /** All that live, with the jobs that each has. */
  readonly keepers: readonly (KeeperState & { readonly id: string; readonly jobs: number })[];
  readonly jobs: { readonly running: number; readonly total: number };
  /** Commands of the operator's own: how many there are, and what is wrong with others. A server before there were any says nothing. */
  readonly commands?: {
    readonly own: number;
    readonly faults: readonly { readonly name: string; readonly reason: string }[];
  };
}

export interface AppOptions {
  readonly authenticate: Authenticate;
  readonly admissions: Pick<Admissions, "join" | "login">;
  /** A ticket by which a browser opens a channel as somebody. */
  readonly issueTicket: (identity: Identity) => Ticket;
  /** Who has a ticket among the subprotocols that he offers, which is used up then. */
  readonly claimTicket: (offered: readonly string[], source: string) => Identity | undefined;
  /** Whether it is served by TLS. */
  readonly isSecure: boolean;
  /** Whether this server is called so, by a name in lower case. */
  readonly isNamed: (name: string) => boolean;
  /** What is made of a request before anything else is; undefined when its connection is gone already. */
  readonly knock: (request: Request) => Visit | undefined;
  readonly isReady: () => boolean;
  /** Whether nothing new is accepted any more. */
  readonly isStopping: () => boolean;
  /** Throws `forbidden`. */
  readonly status: (identity: Identity) => ServerStatus;
  /** Stops the server on somebody's behalf; resolves when what it should do first is done. Throws `forbidden`. */
  readonly stop: (request: StopRequest, identity: Identity) => Promise<StopReport>;
  /** Reads configuration and certificate anew on somebody's behalf. Throws `forbidden`. */
  readonly reload: (identity: Identity) => Promise<ReloadReport>;
  /** Somebody was let in by an invitation or a password, and has a token now. */
  readonly onAdmitted: (what: "joined" | "logged_in", admission: Admission, source: string) => void;
  /** Somebody was turned away. */
  readonly onRefused: (refusal: Refusal) => void;
  /** Lets a request's answer take as long as it may need. */
  readonly hold: (request: Request) => void;
  /** Makes the request's connection a channel of somebody; false when it cannot. */
  readonly upgrade: (request: Request, identity: Identity) => boolean;
  readonly onError: (error: Error) => void;
}

type Variables = GateVariables & { identity: Identity };

/** Codes that say that somebody may not, rather than that something cannot be. */
const REFUSALS: readonly ErrorCode[] = ["unauthenticated", "forbidden", "too_many"];

/** The HTTP side of a server: nothing but liveness is told to whom is not authenticated. */
export function createApp({
  authenticate,
  admissions,
  issueTicket,
  claimTicket,
  isSecure,
  isNamed,
  knock,
  isReady,
  isStopping,
  status,
  stop,
  reload,
  onAdmitted,
  onRefused,
  hold,
  upgrade,
  onError,
}: AppOptions) {
  const app = new Hono<{ Variables: Variables }>();

  app.use("*", greet(knock));
  app.use("*", async (context, next) => {
    for (const [name, value] of Object.entries(GUARDS)) context.header(name, value);
    await next();
    const refused = context.get("refused");
    if (refused === undefined || !REFUSALS.includes(refused.code)) return;
    const { code: outcome, message } = refused;
    const { source } = context.get("visit");
    onRefused({ source, outcome, message, user: context.get("identity")?.owner });
  });
  app.use("*", async (context, next) => {
    const host = context.req.header("host") ?? "";
    const origin = context.req.header("origin");
    if (!isOwnHost(host, isNamed))
      return refuse(
        context,
        403,
        "forbidden",
        "Cannot answer: this server is not called so; if it should be, start farhandd with --name",
      );
    // Programs send no Origin. A page may come from this very server only.
    if (origin !== undefined && !isOwnOrigin(origin, host, isSecure))
      return refuse(context, 403, "forbidden", "Cannot answer: the request comes from a foreign page");
    await next();
  });
  app.get("/healthz", (context) => context.text("ok\n"));
  // Strangers are told whether to send new work here; why not, only who has a token.
  app.get("/readyz", (context) => {
    if (isReady() && !isStopping()) return context.text("ready\n");
    const token = toBearer(context.req.header("authorization"));
    const { wait, source } = context.get("visit");
    const isKnown = wait === 0 && token !== undefined && authenticate(token, source) !== undefined;
    return context.text(isKnown ? (isStopping() ? "stopping\n" : "starting\n") : "not ready\n", 503);
  });

  app.on("POST", ["/v1/join", "/v1/login"], trade);
  app.use("*", refusePenalized);
  app.post("/v1/join", async (context) => {
    const request = await readBody(context.req.raw, JoinRequest);
    const visit = context.get("visit");
    const admission = admissions.join(request, visit.source);
    onAdmitted("joined", admission, visit.source);
    visit.admit();
    return context.json(admission);
  });
  app.post("/v1/login", async (context) => {
    const request = await readBody(context.req.raw, LoginRequest);
    hold(context.req.raw); // the password is compared when it is its turn
    const visit = context.get("visit");
    const admission = await admissions.login(request, visit.source);
    onAdmitted("logged_in", admission, visit.source);
    visit.admit();
    return context.json(admission);
  });

  app.use("*", async (context, next) => {
    const token = toBearer(context.req.header("authorization"));
    const visit = context.get("visit");
    const { source } = visit;
    const isChannel = context.req.path === "/v1/channel";
    const identity =
      authenticate(token, source) ?? (isChannel ? claimTicket(toOffered(context), source) : undefined);
    if (identity === undefined) {
      return refuse(context, 401, "unauthenticated", "Cannot let you in: the token is missing or wrong");
    }
    context.set("identity", identity);
    visit.admit();
    await next();
  });

  app.get("/v1/channel", (context) => {
    if (context.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return refuse(context, 426, "protocol_error", "Cannot open a channel: this is no WebSocket upgrade");
    }
    if (!toOffered(context).includes(SUBPROTOCOL)) {
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
  app.post("/v1/ticket", (context) => context.json(issueTicket(context.get("identity"))));
  app.get("/v1/status", (context) => context.json(status(context.get("identity"))));
  app.post("/v1/stop", async (context) => {
    const request = v.safeParse(StopRequest, (await readJson(context.req.raw)) ?? {});
    if (!request.success)
      return refuse(context, 400, "invalid_input", `Cannot stop: ${request.issues[0].message}`);
    hold(context.req.raw);
    return context.json(await stop(request.output, context.get("identity")), 202);
  });
  app.post("/v1/reload", async (context) => {
    hold(context.req.raw);
    return context.json(await reload(context.get("identity")));
  });

  app.notFound((context) =>
    refuse(context, 404, "not_found", "Cannot answer: there is nothing at this address"),
  );
  app.onError((error, context) => {
    const known = error instanceof AppError ? STATUS[error.code] : undefined;
    if (error instanceof AppError && known !== undefined) {
      if (known === 429) context.header("retry-after", "5");
      return refuse(context, known, error.code, error.message);
    }
    onError(error);
    return refuse(context, 500, "internal", "The server failed unexpectedly: its log says why");
  });
  return app;
}

/** How refusals are answered that say to anybody what is wrong. */
const STATUS: Partial<Record<ErrorCode, 400 | 401 | 403 | 429 | 503>> = {
  invalid_input: 400,
  connection_lost: 400, // nobody is there to read it
  unauthenticated: 401,
  forbidden: 403,
  too_many: 429,
  unavailable: 503,
};

/** The subprotocols that a WebSocket's upgrade offers. */
function toOffered(context: Context): readonly string[] {
  const header = context.req.header("sec-websocket-protocol") ?? "";
  return header.split(",").map((name) => name.trim());
}

/**
 * What keeps browsers from making anything of what they are sent but what it is, and from keeping or framing it. Nothing demands
 * TLS of them from then on: they would demand it of every other port of this name too, where others serve.
 */
export const GUARDS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

function refuse(
  context: Context,
  status: 400 | 401 | 403 | 404 | 426 | 429 | 500 | 503,
  code: ErrorCode,
  message: string,
): Response {
  context.set("refused", { code, message });
  return context.json({ code, message }, status);
}
