import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect } from "node:tls";
import { AppError } from "../protocol/error.ts";
import { type Pin, toPin } from "../protocol/pin.ts";
import type { Host } from "./host.ts";
import type { TlsOptions } from "./trust.ts";

/** A server's certificate, read and not believed. */
export interface Certificate {
  readonly pem: string;
  readonly pin: Pin;
  /** Names and addresses that it is for. */
  readonly names: readonly string[];
  readonly issuer: string;
  readonly isSelfSigned: boolean;
  readonly from: Date;
  readonly until: Date;
}

/** Milliseconds in which a server that wants a certificate of ours says so: in TLS 1.3 that is behind the handshake. */
const OBJECTION_TIME = 1_000;

/** What a server shows of itself, to be looked at. Nothing is said to it. Throws as the connection fails, or the signal's reason. */
export function findCertificate(
  host: Host,
  own: Pick<TlsOptions, "cert" | "key">,
  signal: AbortSignal,
): Promise<Certificate> {
  return meet(host, own, signal, (shown, resolve) => resolve(toCertificate(shown)));
}

/** Why a server ends a handshake, in the words of TLS (`TLSV1_ALERT_PROTOCOL_VERSION`); undefined if it does not. */
export async function findObjection(
  host: Host,
  own: Pick<TlsOptions, "cert" | "key">,
  signal: AbortSignal,
): Promise<string | undefined> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(OBJECTION_TIME)]);
  try {
    await meet(host, own, patience, () => {});
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error && "reason" in error && typeof error.reason === "string"
      ? error.reason
      : undefined;
  }
}

function meet<T>(
  { url }: Host,
  own: Pick<TlsOptions, "cert" | "key">,
  signal: AbortSignal,
  look: (shown: Uint8Array, resolve: (value: T) => void) => void,
): Promise<T> {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const socket = connect({
    host,
    port: Number(port || (protocol === "https:" ? 443 : 80)),
    // It is what we want to see: nothing is sent over this connection.
    rejectUnauthorized: false,
    ...(isIP(host) === 0 && { servername: host }),
    ...own,
  });
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  socket.on("error", reject);
  socket.on("close", () => reject(new AppError("connection_lost", "The connection was closed at once")));
  socket.on("secureConnect", () => {
    const { raw } = socket.getPeerCertificate();
    if (raw === undefined) reject(new AppError("untrusted", "It shows no certificate"));
    else look(raw, resolve);
  });
  return promise.finally(() => {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  });
}

/** Reads a certificate in DER. */
export function toCertificate(der: Uint8Array): Certificate {
  const read = new X509Certificate(der);
  return {
    pem: read.toString(),
    pin: toPin(read),
    names: toNames(read.subjectAltName),
    issuer: read.issuer.replaceAll("\n", ", "),
    isSelfSigned: read.subject === read.issuer,
    from: new Date(read.validFrom),
    until: new Date(read.validTo),
  };
}

/** Of `DNS:web1, IP Address:10.0.0.1` the names. */
function toNames(text: string | undefined): readonly string[] {
  return [...(text ?? "").matchAll(/(?:DNS|IP Address):([^,\s"]+)/g)].map(([, name = ""]) => name);
}
