import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { type Pin, toPin } from "../../protocol/pin.ts";
import { type PemBlock, type PemFile, readPem, refuse } from "./pem.ts";

/** What a server proves itself by. */
export interface Pair {
  /** The certificate with those that vouch for it, in PEM. */
  readonly cert: string;
  /** In PEM. */
  readonly key: string;
  readonly leaf: X509Certificate;
  readonly pin: Pin;
}

/** Reads an operator's certificate and key and checks that they can be used now. Throws `invalid_config`, naming file and reason. */
export function readPair(certPath: string, keyPath: string, now: Date): Pair {
  const [certFile, keyFile] = [
    { path: certPath, what: "certificate" },
    { path: keyPath, what: "key" },
  ];
  const chain = readCertificates(certFile, now);
  const key = readKey(keyFile);
  const [leaf] = chain;
  if (!leaf.checkPrivateKey(key.object)) throw refuse(certFile, `the key "${keyPath}" is another's`);
  checkChain(certFile, chain);
  return {
    cert: chain.map((one) => one.toString()).join(""),
    key: key.text,
    leaf,
    pin: toPin(leaf),
  };
}

/** Whether nobody but itself vouches for a certificate. */
export function isSelfSigned({ subject, issuer }: X509Certificate): boolean {
  return subject === issuer;
}

/** Reads certificates of which each is good now. */
export function readCertificates(file: PemFile, now: Date): [X509Certificate, ...X509Certificate[]] {
  const blocks = readPem(file, { isSecret: false });
  const [first, ...others] = blocks.filter(({ kind }) => kind === "CERTIFICATE");
  if (first === undefined) {
    const isKey = blocks.some(({ kind }) => kind.endsWith("PRIVATE KEY"));
    throw refuse(file, isKey ? "it is a key; are certificate and key swapped?" : "it holds no certificate");
  }
  const read = (block: PemBlock) => parseCertificate(file, block, now);
  return [read(first), ...others.map(read)];
}

/** Reads a private key that is not encrypted. */
export function readKey(file: PemFile): { readonly object: KeyObject; readonly text: string } {
  const blocks = readPem(file, { isSecret: true });
  const block = blocks.find(({ kind }) => kind.endsWith("PRIVATE KEY"));
  if (block === undefined) {
    const isCertificate = blocks.some(({ kind }) => kind === "CERTIFICATE");
    throw refuse(
      file,
      isCertificate ? "it is a certificate; are certificate and key swapped?" : "it holds no private key",
    );
  }
  if (block.kind.startsWith("ENCRYPTED") || block.text.includes("Proc-Type: 4,ENCRYPTED"))
    throw refuse(file, "it is encrypted; write it anew without a passphrase, with openssl pkey");
  try {
    return { object: createPrivateKey(block.text), text: block.text };
  } catch (error) {
    throw refuse(file, "it is damaged, or of a kind that is not known", error);
  }
}

function parseCertificate(file: PemFile, { text }: PemBlock, now: Date): X509Certificate {
  const certificate = parse(file, text);
  const name = certificate.subject.replaceAll("\n", ", ") || "without a name";
  if (certificate.validToDate < now)
    throw refuse(file, `the one of ${name} has expired on ${toDay(certificate.validToDate)}`);
  if (certificate.validFromDate > now)
    throw refuse(file, `the one of ${name} is not valid before ${toDay(certificate.validFromDate)}`);
  return certificate;
}

function parse(file: PemFile, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw refuse(file, "it is damaged", error);
  }
}

/** Each must have issued the one before it: a client is sent them in this order. */
function checkChain(file: PemFile, chain: readonly X509Certificate[]): void {
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer === undefined || (certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)))
      continue;
    const names = [certificate, issuer].map(({ subject }) => subject.replaceAll("\n", ", "));
    throw refuse(file, `in it ${names[0]} is followed by ${names[1]}, which has not issued it`);
  }
}

function toDay(date: Date): string {
  return date.toISOString().slice(0, 10);
}
