import { resolve } from "node:path";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";

/** How addresses beyond loopback are served. */
export interface TlsConfig {
  /** The operator's own certificate, with those that vouch for it, and its key: paths of PEM files, both or none. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The path of the authorities of which one must have issued a client's certificate; undefined where none is demanded. */
  readonly clientCa: string | undefined;
  /** Whether without TLS after all. */
  readonly insecure: boolean;
}

const Path = v.pipe(v.string(), v.nonEmpty());

/** What the configuration file may say of it. */
export const TlsTable = v.strictObject({
  cert: v.optional(Path),
  key: v.optional(Path),
  client_ca: v.optional(Path),
  insecure: v.optional(v.boolean()),
});
export type TlsTable = v.InferOutput<typeof TlsTable>;

/** What the command line may say of it. */
export type TlsFlags = { readonly [Key in keyof TlsConfig]?: TlsConfig[Key] };

/** Puts flags and file together. Throws `invalid_config` for what contradicts itself. */
export function toTls(flags: TlsFlags, table: TlsTable = {}): TlsConfig {
  const toPath = (flag: string, given: string | undefined, filed: string | undefined) => {
    if (given === "") throw new AppError("invalid_config", `Cannot use ${flag} "": name a file`);
    const path = given ?? filed;
    return path === undefined ? undefined : resolve(path);
  };
  const tls = {
    cert: toPath("--cert", flags.cert, table.cert),
    key: toPath("--key", flags.key, table.key),
    clientCa: toPath("--client-ca", flags.clientCa, table.client_ca),
    insecure: flags.insecure ?? table.insecure ?? false,
  };
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const [there, missing] = tls.cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new AppError("invalid_config", `Cannot use --${there} alone: name its --${missing} too`);
  }
  const idle = tls.cert === undefined ? (tls.clientCa === undefined ? undefined : "client-ca") : "cert";
  if (tls.insecure && idle !== undefined)
    throw new AppError(
      "invalid_config",
      `Cannot use --insecure with --${idle}: it means to serve without TLS`,
    );
  return tls;
}
