import { readFileSync } from "node:fs";

/** Where the distributions keep what their authorities are: Debian and Arch, Fedora, RHEL, SUSE, Alpine and the BSDs. */
const STORES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * The authorities that this machine trusts, in PEM; Bun's own where it has no store. `SSL_CERT_FILE` and its like are not
 * looked at: whom to trust is no matter of whoever sets variables, except `FARHAND_CA`, which is ours.
 */
export async function findAuthorities(): Promise<string | readonly string[]> {
  const isOther = process.platform === "win32" || process.platform === "darwin";
  const store = isOther ? undefined : findStore();
  if (store !== undefined) return store;
  const { getCACertificates, rootCertificates } = await import("node:tls");
  const found = isOther ? getCACertificates("system") : [];
  return found.length > 0 ? found : rootCertificates;
}

function findStore(): string | undefined {
  for (const path of STORES) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      // Another distribution's.
    }
  }
  return undefined;
}
