import { AppError, type ErrorCode } from "../protocol/error.ts";
import type { Admission, Invite } from "../protocol/invite.ts";
import { trade } from "./admission.ts";
import type { Target } from "./config.ts";
import { parseHost } from "./host.ts";
import type { StoredHost } from "./hosts.ts";
import { limited } from "./limited.ts";
import { toRefusal } from "./refusal.ts";
import { ask } from "./request.ts";
import type { Trust } from "./trust.ts";

/** Milliseconds that each address has to show that the server is there. */
const LOOK_TIMEOUT = 5_000;

export interface JoinOptions {
  /** Let an address be without TLS, if the invitation says so. */
  readonly insecure?: boolean | undefined;
  /** Where no pin is in the invitation: a file of the authorities that may vouch for the server. */
  readonly ca?: string | undefined;
  readonly client?: StoredHost["client"];
  readonly signal: AbortSignal;
}

/** What came of an invitation: a host as it can be kept, and who one is there. */
export interface Joined {
  readonly host: StoredHost;
  readonly admission: Admission;
}

/** Failures of one address that another may not have. Whoever is not trusted was told nothing. */
const ELSEWHERE: readonly ErrorCode[] = [
  "connection_refused",
  "connection_lost",
  "timed_out",
  "unavailable",
  "forbidden",
  "invalid_input",
  "untrusted",
];

/**
 * Trades an invitation for a token, at the first of its addresses where the server is that it is from. Nobody else is told its
 * secret. Throws the gravest of what its addresses came to: `untrusted` before what is no more than out of reach.
 */
export async function join(invite: Invite, options: JoinOptions): Promise<Joined> {
  const failures: AppError[] = [];
  for (const url of toProvable(invite.urls)) {
    try {
      return await joinAt(url, invite, options);
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof AppError && ELSEWHERE.includes(error.code))) throw error;
      failures.push(error);
    }
  }
  throw (
    failures.find(({ code }) => code === "untrusted") ??
    failures[0] ??
    new AppError("unavailable", "Cannot join")
  );
}

/** Where one address can be proved to be the server's, no other is told anything: loopback here may be anybody else's. */
function toProvable(urls: readonly string[]): readonly string[] {
  const provable = urls.filter((url) => url.startsWith("https:"));
  return provable.length > 0 ? provable : urls;
}

async function joinAt(url: string, { pin, secret }: Invite, options: JoinOptions): Promise<Joined> {
  const { insecure, ca, client, signal } = options;
  const host = parseHost(url, undefined, { insecure });
  let trust: Trust = { type: "system" };
  if (pin !== undefined) trust = { type: "pin", pin };
  else if (ca !== undefined) trust = { type: "ca", file: ca };
  const keep = (certificate: string) => {
    if (trust.type === "pin") trust = { ...trust, certificate };
  };
  const toTarget = (): Target => ({ host, token: undefined, isLocal: false, trust, client, keep });
  await look(toTarget(), signal);
  const admission = await trade(toTarget(), { type: "join", secret }, signal);
  const kept = { url: host.url, trust, user: admission.user };
  return { admission, host: { ...kept, ...(insecure && { insecure }), ...(client && { client }) } };
}

/** Finds out whether the server is there, before the secret is risked on somebody else's time. */
async function look(target: Target, signal: AbortSignal): Promise<void> {
  await limited(target, LOOK_TIMEOUT, signal, async (stop) => {
    const answer = await ask(target, "/healthz", { signal: stop });
    if (answer.status !== 200) throw toRefusal(target, answer);
  });
}
