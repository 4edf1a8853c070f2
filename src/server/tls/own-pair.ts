import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { AppError } from "../../protocol/error.ts";
import { covers, isDue, makeCertificate } from "./certificate.ts";
import { type Pair, readKey } from "./pair.ts";
import { refuse } from "./pem.ts";
import { toPin } from "./pin.ts";

export interface OwnPairWish {
  /** Where they lie: `tls/` in the state directory. */
  readonly directory: string;
  /** What the certificate must be good for, or it is made anew. */
  readonly names: readonly string[];
  readonly now: Date;
}

/**
 * The server's own key with a certificate that vouches for itself. Each is made if it is missing; the certificate also when it
 * is about to run out or no longer fits, but then with the same key, which is what clients know. Throws `invalid_config`
 * for a key that cannot be used, which only its operator may give up.
 */
export async function openOwnPair({ directory, names, now }: OwnPairWish): Promise<Pair> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const key = openKey(join(directory, "key.pem"));
  const path = join(directory, "cert.pem");
  const found = findCertificate(path, key.object);
  if (found !== undefined && covers(found, names) && !isDue(found, now)) return toPair(found, key.text);
  const certificate = await makeCertificate({ key: key.object, names, now });
  write(path, certificate.toString());
  return toPair(certificate, key.text);
}

function toPair(leaf: X509Certificate, key: string): Pair {
  return { cert: leaf.toString(), key, leaf, pin: toPin(leaf.publicKey) };
}

function openKey(path: string): { readonly object: KeyObject; readonly text: string } {
  const file = { path, what: "the server's own key" };
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    write(path, String(privateKey.export({ type: "pkcs8", format: "pem" })));
  }
  try {
    const key = readKey(file);
    // One that an operator has put here may be of another kind.
    if (key.object.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
    throw refuse(file, "it is no ECDSA key on P-256");
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const advice =
      "put back a copy; if there is none, remove it: clients must then be told the new fingerprint";
    throw new AppError(error.code, `${error.message}; ${advice}`, { cause: error });
  }
}

/** A certificate that can be read and is of this key. Any other is worth nothing, and is made anew. */
function findCertificate(path: string, key: KeyObject): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(readFileSync(path));
    return certificate.checkPrivateKey(key) ? certificate : undefined;
  } catch {
    return undefined; // missing or damaged
  }
}

/** Whole or not at all, and on the disk: nobody can make the same key again. */
function write(path: string, text: string): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true }); // of a start that was cut off
  const fd = openSync(draft, "wx", 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
  syncDirectory(dirname(path));
}

function syncDirectory(path: string): void {
  if (process.platform === "win32") return; // where a directory cannot be opened
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
