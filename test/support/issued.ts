import { readFileSync } from "node:fs";
import {
  type CertificateFiles,
  type CertificateOptions,
  createCertificates,
  openssl,
} from "./certificates.ts";

/** A certificate with its key, and what clients know it by. */
export interface Issued extends CertificateFiles {
  readonly pin: string;
  /** What a server of Bun's takes. */
  readonly tls: { readonly cert: string; readonly key: string };
}

export interface IssueOptions extends Omit<CertificateOptions, "days" | "subject"> {
  /** Days on which it begins and ends, as in `2021-01-01` (default: 2020 and 2099). */
  readonly from?: string;
  readonly until?: string;
}

/** Makes certificates in a directory; the name is the subject's, and several may have the same. */
export function createIssuer(directory: string): (subject: string, options?: IssueOptions) => Issued {
  const create = createCertificates(directory);
  let count = 0;
  return (subject, { from = "2020-01-01", until = "2099-01-01", ...options } = {}) => {
    const days = [toDays(from), toDays(until)] as const;
    const { cert, key } = create(`${subject}-${++count}`, { ...options, subject, days });
    const publicKey = openssl("x509", "-in", cert, "-pubkey", "-noout");
    const tls = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
    return { cert, key, pin: toPin(publicKey), tls };
  };
}

/** By other means than the client's. */
function toPin(publicKey: string): string {
  const der = Buffer.from(publicKey.replace(/-----[^-]*-----/g, ""), "base64");
  return `sha256:${new Bun.CryptoHasher("sha256").update(der).digest("base64url")}`;
}

/** From now to that day's noon. */
function toDays(day: string): number {
  return (Date.parse(`${day}T12:00:00Z`) - Date.now()) / (24 * 60 * 60 * 1_000);
}
