import { AppError } from "../protocol/error.ts";
import type { Target } from "./config.ts";
import { isSecure } from "./host.ts";
import { checkOwnSocket } from "./own-file.ts";
import { toNetworkFailure } from "./network-failure.ts";
import type { TlsOptions } from "./trust.ts";

/** What a server answers to a request that is no channel. */
export interface Answer {
  readonly status: number;
  /** Milliseconds that it asks us to stay away. */
  readonly retryAfter: number | undefined;
  /** What it holds, as far as we read it; undefined for what is no JSON. */
  readonly json: unknown;
}

export interface RequestOptions {
  /** Sent as JSON, by POST. */
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

/** Bytes that are read of an answer: what farhandd says is far shorter, and what others say is of no use. */
const MAX_BYTES = 64 * 1024;

/** Longest time (ms) that we take a server's word for how long to stay away. */
const MAX_RETRY_AFTER = 3_600_000;

/**
 * Asks a server something over HTTP, with the token, once it has proved who it is. No redirect is followed, and no proxy is
 * gone through: neither is the one whom the token is for. Throws `untrusted`, `state_unusable` for another user's socket,
 * `connection_refused`, `connection_lost`, or the signal's reason.
 */
export async function ask(target: Target, path: string, { body, signal }: RequestOptions): Promise<Answer> {
  const { host, token } = target;
  const work = async (tls?: TlsOptions): Promise<Answer> => {
    const options = {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "accept-encoding": "identity",
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: "manual",
      // Bun's types do not know it: without, HTTP_PROXY of the environment would be told the token.
      proxy: false,
      // The same of BUN_CONFIG_VERBOSE_FETCH, by which it would stand on stderr.
      verbose: false,
      // A connection that was opened for another's certificate is no use to us.
      keepalive: false,
      decompress: false,
      ...(tls && { tls }),
      ...(host.socket !== undefined && { unix: host.socket }),
      signal,
    };
    const base = host.socket === undefined ? host.url : "http://localhost";
    return await toAnswer(await fetch(`${base}${path}`, options as unknown as BunFetchRequestInit));
  };
  try {
    if (host.socket !== undefined) checkOwnSocket(host.socket);
    if (!isSecure(host)) return await work();
    const { secure } = await import("./secure.ts");
    return await secure(target, signal, work);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AppError ? error : await toNetworkFailure(target, error, signal);
  }
}

async function toAnswer(response: Response): Promise<Answer> {
  const [parts, decoder] = [[] as string[], new TextDecoder()];
  let left = MAX_BYTES;
  for await (const chunk of response.body ?? []) {
    parts.push(decoder.decode(chunk.subarray(0, left), { stream: true }));
    left -= chunk.length;
    if (left <= 0) break; // which closes the connection
  }
  return {
    status: response.status,
    retryAfter: toRetryAfter(response.headers),
    json: parseJson(parts.join("")),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // something else than farhandd answers
  }
}

/** `Retry-After` in milliseconds: farhandd writes seconds, a gateway perhaps a date. */
function toRetryAfter(headers: Headers): number | undefined {
  const text = headers.get("retry-after") ?? "";
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), MAX_RETRY_AFTER) : undefined;
}
