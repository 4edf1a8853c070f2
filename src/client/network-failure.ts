import { toErrorCode } from "../lib/error-code.ts";
import { AppError } from "../protocol/error.ts";
import type { Target } from "./config.ts";
import { isSecure } from "./host.ts";

/**
 * What kept us from reaching a server, of a connection that failed with a code of the system's. Where one without TLS was closed at once, it is
 * looked at whether it should have had TLS.
 */
export async function toNetworkFailure(
  target: Target,
  cause: unknown,
  signal: AbortSignal,
): Promise<AppError> {
  const code = toErrorCode(cause);
  if (code === "ECONNRESET" && (await isOnlyTls(target, signal))) {
    const https = target.host.url.replace(/^http:/, "https:");
    return new AppError(
      "untrusted",
      `Cannot connect to ${target.host.url}: what answers there speaks TLS; write ${https}`,
      { details: { reason: "only_tls" }, cause },
    );
  }
  return new AppError(
    isRefused(code, target) ? "connection_refused" : "connection_lost",
    `Cannot connect to ${target.host.url}: ${describe(code, target)}`,
    { cause },
  );
}

/** Milliseconds in which what answers has to begin to speak TLS. */
const LOOK_TIMEOUT = 1_000;

/** Of a local server its own file says how it is spoken to. */
async function isOnlyTls(target: Target, signal: AbortSignal): Promise<boolean> {
  const { host, isLocal, token } = target;
  if (isSecure(host) || host.socket !== undefined || (isLocal && token !== undefined)) return false;
  const { findCertificate } = await import("./certificate.ts");
  const patience = AbortSignal.any([signal, AbortSignal.timeout(LOOK_TIMEOUT)]);
  const found = await findCertificate(host, {}, patience).catch(() => undefined);
  signal.throwIfAborted();
  return found !== undefined;
}

/** A socket that is not there, or that nobody listens to, refuses like a port. */
function isRefused(code: string | undefined, { host }: Target): boolean {
  return code === "ECONNREFUSED" || (code === "ENOENT" && host.socket !== undefined);
}

function describe(code: string | undefined, { host, client }: Target): string {
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused; is farhandd running there?";
    case "ENOENT":
      return host.socket === undefined
        ? "the connection failed (ENOENT)"
        : "there is no such socket; is farhandd running?";
    case "EACCES":
    case "EPERM":
      return "this user may not use it";
    case "ENOTFOUND":
      return "no machine of that name is known";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "there is no route to it";
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return "this machine cannot reach such an address";
    case "ECONNRESET":
      return `the connection was closed at once${client === undefined ? "" : "; it may not accept our certificate"}`;
    case "Malformed_HTTP_Response":
    case "ResponseHeadersTooLarge":
    case "HPE_INVALID_CONSTANT":
      return "what answers there does not speak HTTP as farhandd does";
    default:
      return code === undefined ? "the connection failed" : `the connection failed (${code})`;
  }
}
