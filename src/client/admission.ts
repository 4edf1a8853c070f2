import { hostname } from "node:os";
import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { Admission } from "../protocol/invite.ts";
import { MAX_TOKEN_CHARACTERS } from "../protocol/limits.ts";
import type { Target } from "./config.ts";
import { limited } from "./limited.ts";
import { toRefusal } from "./refusal.ts";
import { type Answer, ask } from "./request.ts";

/** Milliseconds that a server may take: several may be waiting for their passwords to be checked. */
const TRADE_TIMEOUT = 30_000;

/** What a token is traded for. */
export type Secret =
  | { readonly type: "join"; readonly secret: string }
  | { readonly type: "login"; readonly user: string; readonly password: string };

/**
 * Trades a secret for a token. The server is told it once it has proved who it is, and nobody else is. Throws
 * `unauthenticated`, `untrusted`, `too_many`, what else the server answers, or the signal's reason.
 */
export async function trade(target: Target, secret: Secret, signal: AbortSignal): Promise<Admission> {
  const { type, ...body } = secret;
  const stranger = { ...target, token: undefined };
  const asked = { ...body, client: hostname().slice(0, 64) };
  return await limited(stranger, TRADE_TIMEOUT, signal, async (stop) =>
    toAdmission(stranger, secret, await ask(stranger, `/v1/${type}`, { body: asked, signal: stop })),
  );
}

function toAdmission(target: Target, { type }: Secret, answer: Answer): Admission {
  const { host } = target;
  if (answer.status === 401) {
    const why = {
      join: "the invitation is not valid, or not any more: it works once, and for a short time; ask for another",
      login: "the user or the password is wrong",
    };
    throw new AppError("unauthenticated", `Cannot ${VERBS[type]} ${host.url}: ${why[type]}`);
  }
  if (answer.status === 404)
    throw new AppError(
      "unavailable",
      `Cannot ${VERBS[type]} ${host.url}: no farhandd answers there, or one that is too old (HTTP status 404)`,
    );
  if (answer.status !== 200 && answer.status !== 201) throw toRefusal(target, answer);
  const admission = v.safeParse(Admission, answer.json);
  if (admission.success && isPlain(admission.output)) return admission.output;
  throw new AppError(
    "unavailable",
    `Cannot ${VERBS[type]} ${host.url}: what answers there gives no token; is it farhandd?`,
  );
}

const VERBS = { join: "join", login: "log in at" };

/** Characters of a name that we keep and show. */
const MAX_NAME = 256;

/** Whether a header has room for the token, and a line for the names: they come from elsewhere. */
function isPlain({ token, name, user }: Admission): boolean {
  const isToken = token.length <= MAX_TOKEN_CHARACTERS && /^[\x21-\x7e]+$/.test(token);
  return isToken && [name, user].every((text) => text.length <= MAX_NAME && escapeControls(text) === text);
}
