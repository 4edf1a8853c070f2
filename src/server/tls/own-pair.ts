import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeWholeFile } from "../../lib/whole-file.ts";
import { toPin } from "../../protocol/pin.ts";
import { covers, isDue, makeCertificate } from "./certificate.ts";
import { type Pair, readKey } from "./pair.ts";
import { refuse } from "./pem.ts";

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
  writeWholeFile(path, certificate.toString());
  return toPair(certificate, key.text);
}

function toPair(leaf: X509Certificate, key: string): Pair {
  return { cert: leaf.toString(), key, leaf, pin: toPin(leaf) };
}

function openKey(path: string): { readonly object: KeyObject; readonly text: string } {
  const file = {
    path,
    what: "the server's own key",
    remedy: "put back a copy; if there is none, remove it: clients must then be told the new fingerprint",
  };
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeWholeFile(path, String(privateKey.export({ type: "pkcs8", format: "pem" })));
  }
  const key = readKey(file);
  // One that an operator has put here may be of another kind.
  if (key.object.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  throw refuse(file, "it is no ECDSA key on P-256");
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
