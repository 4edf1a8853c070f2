import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";

const DAY = 24 * 60 * 60 * 1000;
/** Days before now from which on a certificate is good: for clients whose clock is behind, or in another time zone. */
const SKEW_DAYS = 1;
/** Days for which it is good: no longer than the strictest clients take from anybody (398), since whoever pins goes by the key. */
const LIFE_DAYS = 396;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export interface CertificateWish {
  /** An ECDSA key on P-256. */
  readonly key: KeyObject;
  /** Names and addresses for which it is good; its subject is the first. */
  readonly names: readonly string[];
  readonly now: Date;
}

/** Makes a certificate that vouches for itself and for no other. What it takes is loaded only now. */
export async function makeCertificate({ key, names, now }: CertificateWish): Promise<X509Certificate> {
  await import("reflect-metadata/lite"); // which the next one demands to be there
  const x509 = await import("@peculiar/x509");
  const { subtle } = globalThis.crypto;
  const privateKey = key.export({ type: "pkcs8", format: "der" });
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const keys = {
    privateKey: await subtle.importKey("pkcs8", privateKey, ALGORITHM, false, ["sign"]),
    publicKey: await subtle.importKey("spki", publicKey, ALGORITHM, true, ["verify"]),
  };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    // At most 64 characters, by the standard.
    name: [{ CN: [(names[0] ?? "farhandd").slice(0, 64)] }],
    notBefore: new Date(now.getTime() - SKEW_DAYS * DAY),
    notAfter: new Date(now.getTime() + LIFE_DAYS * DAY),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return new X509Certificate(Buffer.from(certificate.rawData));
}

/** Whether a certificate is good for everything named. */
export function covers(certificate: X509Certificate, names: readonly string[]): boolean {
  return names.every((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
  );
}

/** Whether a certificate of ours should be made anew: a third of its life is left, or the clock was wrong when it was made. */
export function isDue({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  const left = validToDate.getTime() - now.getTime();
  return validFromDate > now || left < (LIFE_DAYS * DAY) / 3;
}
