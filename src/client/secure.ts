import { toErrorCode } from "../lib/error-code.ts";
import { type Certificate, findCertificate } from "./certificate.ts";
import type { Target } from "./config.ts";
import { explainDistrust, toChangedKey } from "./distrust.ts";
import { AnotherCertificate, type TlsOptions, toOwn, toTls, type Trust } from "./trust.ts";

/** One that is known by its key. */
type Pinned = Extract<Trust, { readonly type: "pin" }>;

/**
 * Works with a server that is spoken to by TLS, once it has proved who it is. Where only its key is known, the certificate
 * that it shows is looked at first, and then it must show that very one. Throws `untrusted`, and what `work` throws otherwise.
 */
export async function secure<T>(
  target: Target,
  signal: AbortSignal,
  work: (tls: TlsOptions) => Promise<T>,
): Promise<T> {
  const { trust = { type: "system" }, client } = target;
  const attempt = async (trust: Trust) => {
    try {
      return await work(await toTls(trust, client));
    } catch (error) {
      throw isAboutTls(error) ? new Distrust(error) : error;
    }
  };
  if (trust.type === "pin" && trust.certificate === undefined) return await meetAnew(trust);
  try {
    return await attempt(trust);
  } catch (error) {
    if (!(error instanceof Distrust)) throw error;
    if (trust.type === "pin" && mayBeRenewed(error)) return await meetAnew(trust);
    throw await explainDistrust(target, error.cause, signal);
  }

  /** The certificate may be another by now: what counts is the key. */
  async function meetAnew(trust: Pinned): Promise<T> {
    const { pem } = await findPinned(target, trust, signal);
    try {
      const done = await attempt({ ...trust, certificate: pem });
      if (pem !== trust.certificate) target.keep?.(pem);
      return done;
    } catch (error) {
      throw error instanceof Distrust ? await explainDistrust(target, error.cause, signal) : error;
    }
  }
}

/** The certificate that a server shows, if it is that of the key by which it is known. Throws `untrusted`, or as the connection fails. */
async function findPinned(target: Target, trust: Pinned, signal: AbortSignal): Promise<Certificate> {
  let shown: Certificate;
  try {
    shown = await findCertificate(target.host, toOwn(target), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw isAboutTls(error) ? await explainDistrust(target, error, signal) : error;
  }
  if (shown.pin === trust.pin) return shown;
  throw toChangedKey(target, trust.pin, shown.pin);
}

/** A handshake that failed, for a reason that is still to be found. */
class Distrust extends Error {
  constructor(cause: unknown) {
    super("The handshake failed", { cause });
  }
}

function isAboutTls(error: unknown): boolean {
  return error instanceof AnotherCertificate || TLS_CODE.test(toErrorCode(error) ?? "");
}

/** Of OpenSSL's verification, of its protocol, and of Bun's check of names. */
const TLS_CODE =
  /^(EPROTO$|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|CRL_|HOSTNAME_|INVALID_|PATH_LENGTH|ERROR_IN_|UNSPECIFIED$)/;

/** Whether the failure may be that the certificate is not the one that was kept; otherwise there is no TLS, or ours is wanted. */
function mayBeRenewed({ cause }: Distrust): boolean {
  return toErrorCode(cause) !== "EPROTO";
}
