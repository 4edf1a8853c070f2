import { toErrorCode } from "../lib/error-code.ts";
import { AppError } from "../protocol/error.ts";
import type { Pin } from "../protocol/pin.ts";
import { type Certificate, findCertificate, findObjection } from "./certificate.ts";
import type { Target } from "./config.ts";
import { isThisMachine } from "./host.ts";
import { toOwn } from "./trust.ts";

/** Why a server is not trusted, for programs; in the details of an `untrusted`. */
export type DistrustReason =
  | "self_signed"
  | "unknown_authority"
  | "wrong_name"
  | "expired"
  | "not_yet_valid"
  | "changed_key"
  | "no_tls"
  | "only_tls"
  | "old_tls"
  | "client_certificate"
  | "handshake";

interface Explained {
  readonly reason: DistrustReason;
  readonly why: string;
}

/** Looks for the reason of a handshake that failed, and says what to do. Answers an `untrusted`. */
export async function explainDistrust(
  target: Target,
  cause: unknown,
  signal: AbortSignal,
): Promise<AppError> {
  const own = toOwn(target);
  const code = toErrorCode(cause) ?? "";
  if (/^(EPROTO$|ERR_SSL)/.test(code)) {
    const objection = findReason(cause) ?? (await findObjection(target.host, own, signal));
    return toUntrusted(target, explainObjection(target, objection), { cause });
  }
  const shown = await findCertificate(target.host, own, signal).catch(() => undefined);
  signal.throwIfAborted();
  return toUntrusted(target, explainCertificate(target, code, shown), { cause, shown });
}

/** Said loudly: this is what somebody in between looks like. */
export function toChangedKey(target: Target, expected: Pin, shown: Pin): AppError {
  const { name = "it", host } = target;
  const lines = [
    `Cannot connect to ${host.url}: ITS KEY HAS CHANGED.`,
    "Somebody may be in between, or the server was set up anew. Nothing was sent to it.",
    `  expected: ${expected}`,
    `  shown:    ${shown}`,
    "Ask whoever runs it what farhandd fingerprint prints there. Only if that is the one shown:",
    target.name === undefined
      ? "name that one as the pin."
      : `farhand host remove ${name}, and then add it again, or join by a new invitation.`,
  ];
  return new AppError("untrusted", lines.join("\n"), {
    details: { reason: "changed_key", expected, pin: shown },
  });
}

function toUntrusted(
  { host }: Target,
  { reason, why }: Explained,
  { cause, shown }: { readonly cause?: unknown; readonly shown?: Certificate | undefined },
): AppError {
  const seen = shown && {
    pin: shown.pin,
    names: shown.names,
    issuer: shown.issuer,
    from: shown.from.toISOString(),
    until: shown.until.toISOString(),
  };
  return new AppError("untrusted", `Cannot connect to ${host.url}: ${why}`, {
    details: { reason, ...seen },
    cause,
  });
}

/** In the words of OpenSSL, where they are known already. */
function findReason(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  if ("reason" in cause && typeof cause.reason === "string") return cause.reason;
  return /OPENSSL_internal:(\w+)/.exec(cause.message)?.[1];
}

function explainObjection({ host, client }: Target, objection = "no reason was given"): Explained {
  if (/WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY|UNEXPECTED_MESSAGE|UNEXPECTED_RECORD/.test(objection)) {
    // Elsewhere that is no advice: to go without is what somebody in between would like.
    const advice = isThisMachine(host) ? `; write ${host.url.replace(/^https/, "http")}` : "";
    return { reason: "no_tls", why: `what answers there does not speak TLS${advice}` };
  }
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/.test(objection))
    return { reason: "old_tls", why: "it speaks no version of TLS that is safe: 1.2 is the oldest" };
  if (client !== undefined && /ALERT|HANDSHAKE_FAILURE/.test(objection)) {
    const why = `it does not accept our certificate (${objection}); is it signed by the authority that it wants, and not expired?`;
    return { reason: "client_certificate", why };
  }
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE/.test(objection)) {
    const why = "it wants a certificate of ours; give --client-cert and --client-key";
    return { reason: "client_certificate", why };
  }
  return { reason: "handshake", why: `the TLS handshake failed (${objection})` };
}

function explainCertificate(target: Target, code: string, shown: Certificate | undefined): Explained {
  const { host, trust, name = "NAME" } = target;
  const { hostname } = new URL(host.url);
  switch (code) {
    case "CERT_HAS_EXPIRED": {
      const when = shown === undefined ? "" : ` on ${toDay(shown.until)}`;
      const why = `its certificate expired${when}; it must be renewed there, or this machine's clock is wrong`;
      return { reason: "expired", why };
    }
    case "CERT_NOT_YET_VALID": {
      const when = shown === undefined ? "yet" : `before ${toDay(shown.from)}`;
      const why = `its certificate is not valid ${when}; one of the two machines' clocks is wrong`;
      return { reason: "not_yet_valid", why };
    }
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH") {
    const names = shown?.names.join(", ") || "no name at all";
    const why = `its certificate is not for ${hostname} but for ${names}; use a name that it is for, or add the host with its fingerprint`;
    return { reason: "wrong_name", why };
  }
  const pin = shown?.pin ?? "sha256:…";
  const advice = `if farhandd fingerprint there prints ${pin}, run farhand host add ${name} ${host.url} --pin ${pin}`;
  if (shown?.isSelfSigned ?? code === "DEPTH_ZERO_SELF_SIGNED_CERT")
    return {
      reason: "self_signed",
      why: `its certificate is self-signed, so that nobody vouches for it; ${advice}`,
    };
  const known =
    trust?.type === "ca" ? `no authority in "${trust.file}"` : "no authority that this machine trusts";
  const by = shown === undefined ? code : `it was issued by ${shown.issuer}`;
  const why = `${known} vouches for its certificate (${by}); name the file of its authority with --ca, or ${advice}`;
  return { reason: "unknown_authority", why };
}

function toDay(date: Date): string {
  return date.toISOString().slice(0, 10);
}
