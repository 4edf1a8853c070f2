import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Whether this machine has what it takes. */
export const hasOpenssl: boolean = Bun.which("openssl") !== null;

/** A certificate with its key, in PEM: their files, and what clients know it by. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly pin: string;
  /** What a server of Bun's takes. */
  readonly tls: { readonly cert: string; readonly key: string };
}

export interface IssueOptions {
  /** As in `DNS:localhost,IP:127.0.0.1` (the default). */
  readonly names?: string;
  /** Who signs it; itself if absent. */
  readonly by?: Issued;
  /** Whose key it has; one of its own if absent. */
  readonly keyOf?: Issued;
  /** As in `20300101000000Z`. */
  readonly from?: string;
  readonly until?: string;
  readonly isAuthority?: boolean;
}

const CONFIG = `
[ca]
default_ca = own
[own]
dir = .
database = ./index
new_certs_dir = .
serial = ./serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;

/** Makes certificates in a directory, by openssl. */
export function createIssuer(directory: string): (name: string, options?: IssueOptions) => Issued {
  let serial = 0;
  return (name, options = {}) => {
    const { names = "DNS:localhost,IP:127.0.0.1", by, keyOf, isAuthority = false } = options;
    const home = join(directory, `${name}-${++serial}`);
    mkdirSync(home);
    writeFileSync(join(home, "config"), CONFIG);
    writeFileSync(join(home, "index"), "");
    writeFileSync(join(home, "serial"), String(1000 + serial));
    const key = keyOf?.key ?? join(home, "key.pem");
    const run = (...args: string[]) => openssl(args, home);
    if (keyOf === undefined)
      run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key);
    const extensions = isAuthority ? "basicConstraints=critical,CA:TRUE" : `subjectAltName=${names}`;
    run("req", "-new", "-key", key, "-subj", `/CN=${name}`, "-addext", extensions, "-out", "request");
    const signer = by === undefined ? ["-selfsign", "-keyfile", key] : ["-cert", by.cert, "-keyfile", by.key];
    const dates = [
      "-startdate",
      options.from ?? "20200101000000Z",
      "-enddate",
      options.until ?? "20990101000000Z",
    ];
    run(
      "ca",
      "-config",
      "config",
      "-batch",
      ...signer,
      ...dates,
      "-notext",
      "-in",
      "request",
      "-out",
      "cert.pem",
    );
    const cert = join(home, "cert.pem");
    return {
      cert,
      key,
      pin: toPin(run("x509", "-in", cert, "-pubkey", "-noout").toString()),
      tls: { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") },
    };
  };
}

/** By other means than the client's. */
function toPin(publicKey: string): string {
  const der = Buffer.from(publicKey.replace(/-----[^-]*-----/g, ""), "base64");
  return `sha256:${new Bun.CryptoHasher("sha256").update(der).digest("base64url")}`;
}

function openssl(args: readonly string[], cwd: string): Buffer {
  const { success, stdout, stderr } = Bun.spawnSync(["openssl", ...args], { cwd });
  if (!success) throw new Error(`openssl ${args.join(" ")} failed: ${stderr}`);
  return stdout;
}
