import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../protocol/error.ts";
import { type Pin, toPin } from "../../protocol/pin.ts";
import type { ServerStatus } from "../app.ts";
import type { ServerConfig } from "../config.ts";
import { readPair } from "./pair.ts";

/**
 * By what clients know the server: that of the one that runs, else of the certificate that the next start would use. Throws
 * `not_found` where there is none, `invalid_config` for one that cannot be used.
 */
export async function findPin(
  { tls: { cert, key }, state }: ServerConfig,
  running: { readonly status: ServerStatus } | undefined,
): Promise<Pin> {
  const found = running?.status.tls?.pin;
  if (found !== undefined) return found;
  if (cert !== undefined && key !== undefined) return readPair(cert, key, new Date()).pin;
  const path = join(state, "tls", "cert.pem");
  if (existsSync(path)) return toPin(new X509Certificate(readFileSync(path)));
  throw new AppError(
    "not_found",
    "Cannot tell a fingerprint: the first start with an address beyond loopback makes key and certificate",
  );
}
