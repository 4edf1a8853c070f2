import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate and its key: paths of PEM files. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Its subject (default: its name). */
  readonly subject?: string;
  /** As openssl(1) writes them (default: `DNS:localhost,IP:127.0.0.1`). */
  readonly names?: string;
  /** Who issues it (default: itself). */
  readonly by?: CertificateFiles;
  /** Whose key it has (default: one of its own). */
  readonly keyOf?: CertificateFiles;
  /** Whether it may issue others. */
  readonly isAuthority?: boolean;
  /** Days from now, of the past where negative (default: good since yesterday, for a month). */
  readonly days?: readonly [from: number, to: number];
}

/** Why no certificates can be made here, or undefined. */
export function findOpensslFault(): string | undefined {
  return Bun.which("openssl") === null ? "there is no openssl(1)" : undefined;
}

/** Makes certificates in a directory by openssl(1), which shares nothing with what is tested. */
export function createCertificates(directory: string) {
  return (name: string, options: CertificateOptions = {}): CertificateFiles => {
    const { subject = name, names = "DNS:localhost,IP:127.0.0.1", by, keyOf, isAuthority = false } = options;
    const [from, to] = options.days ?? [-1, 30];
    const [cert, key] = [join(directory, `${name}.pem`), keyOf?.key ?? join(directory, `${name}.key`)];
    const config = join(directory, `${name}.cnf`);
    writeFileSync(
      config,
      `[ca]\ndefault_ca=us\n[us]\ndatabase=${config}.db\nrand_serial=yes\ndefault_md=sha256\npolicy=any\nnew_certs_dir=${directory}\nx509_extensions=ext\n` +
        `unique_subject=no\n[any]\ncommonName=supplied\n[ext]\nbasicConstraints=critical,CA:${isAuthority ? "TRUE" : "FALSE"}\n` +
        `subjectAltName=${names}\n[req]\ndistinguished_name=dn\n[dn]\n`,
    );
    writeFileSync(`${config}.db`, "");
    if (keyOf === undefined) openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key);
    chmodSync(key, 0o600);
    const request = join(directory, `${name}.csr`);
    openssl("req", "-new", "-config", config, "-key", key, "-subj", `/CN=${subject}`, "-out", request);
    const issuer = by ? ["-cert", by.cert, "-keyfile", by.key] : ["-selfsign", "-keyfile", key];
    const span = ["-startdate", toMoment(from), "-enddate", toMoment(to)];
    openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", cert, ...issuer, ...span);
    return { cert, key };
  };
}

function toMoment(days: number): string {
  const date = new Date(Date.now() + days * 24 * 60 * 60 * 1000);
  return `${date.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}

/** Throws what the command complains of. */
export function openssl(...args: string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(["openssl", ...args], { stdin: "ignore" });
  if (!success) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  return stdout.toString();
}
