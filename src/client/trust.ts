import { readFileSync } from "node:fs";
import * as v from "valibot";
import { toBareMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import { Pin } from "../protocol/pin.ts";
import { findAuthorities } from "./authorities.ts";
import { readOwn } from "./own-file.ts";

/** By what a server is known, where it is spoken to by TLS. */
export const Trust = v.variant("type", [
  /** What this machine's authorities vouch for, under the name by which it is reached. */
  v.strictObject({ type: v.literal("system") }),
  /** What the authorities of a file vouch for, and no others. */
  v.strictObject({ type: v.literal("ca"), file: v.string() }),
  /** Who has this key, under whatever name. `certificate`: the last one seen of it, in PEM. */
  v.strictObject({ type: v.literal("pin"), pin: Pin, certificate: v.optional(v.string()) }),
]);
export type Trust = v.InferOutput<typeof Trust>;

/** Files by which we prove who we are to a server that wants a certificate; both in PEM. */
export const ClientCertificate = v.strictObject({ certificate: v.string(), key: v.string() });
export type ClientCertificate = v.InferOutput<typeof ClientCertificate>;

/** What a connection is opened with, by Bun's WebSocket and fetch alike. */
export interface TlsOptions {
  /** Named always: without, the environment could turn the check off. */
  readonly rejectUnauthorized: true;
  /** Named always: without, the environment could add to them. */
  readonly ca: string | readonly string[];
  readonly allowPartialTrustChain?: true;
  readonly checkServerIdentity?: (
    name: string,
    shown: { readonly raw?: Uint8Array | undefined },
  ) => Error | undefined;
  readonly cert?: string;
  readonly key?: string;
}

/** Throws `invalid_input` for a file that cannot be read. A pin must have its certificate by now. */
export async function toTls(trust: Trust, client: ClientCertificate | undefined): Promise<TlsOptions> {
  const own = toOwn({ client });
  switch (trust.type) {
    case "system":
      return { rejectUnauthorized: true, ca: await findAuthorities(), ...own };
    case "ca":
      return { rejectUnauthorized: true, ca: readPem(trust.file, "authorities", "CERTIFICATE"), ...own };
    case "pin":
      return { rejectUnauthorized: true, ...toExactly(trust.certificate ?? ""), ...own };
  }
}

/** Our own certificate, without which some servers show nothing of themselves. Throws `invalid_input`, `state_unusable`. */
export function toOwn({
  client,
}: {
  readonly client?: ClientCertificate | undefined;
}): Pick<TlsOptions, "cert" | "key"> {
  if (client === undefined) return {};
  return {
    cert: readPem(client.certificate, "client certificate", "CERTIFICATE"),
    key: readPem(client.key, "key of the client certificate", "PRIVATE KEY", readOwn),
  };
}

/** This certificate and no other, also none that it has signed, whatever names it has and whoever has signed it. */
function toExactly(pem: string): Pick<TlsOptions, "ca" | "allowPartialTrustChain" | "checkServerIdentity"> {
  const expected = toDer(pem);
  return {
    ca: pem,
    allowPartialTrustChain: true,
    checkServerIdentity: (_name, { raw }) =>
      raw !== undefined && expected.equals(raw) ? undefined : new AnotherCertificate(),
  };
}

/** A server shows another certificate than the one that it is known by. */
export class AnotherCertificate extends Error {
  constructor() {
    super("It shows another certificate");
  }
}

function toDer(pem: string): Buffer {
  const [, body = ""] = /-----BEGIN CERTIFICATE-----([^-]*)-----END/.exec(pem) ?? [];
  return Buffer.from(body, "base64");
}

/** Also says what Bun would not: without a certificate in it, a file of authorities would count as none given. */
function readPem(
  path: string,
  what: string,
  kind: string,
  read: (path: string) => string = (path) => readFileSync(path, "utf8"),
): string {
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    if (error instanceof AppError) throw error;
    const why = toBareMessage(error);
    throw new AppError("invalid_input", `Cannot read the ${what} in "${path}": ${why}`, { cause: error });
  }
  if (text.includes(`${kind}-----`)) return text;
  const found = `it holds no ${kind.toLowerCase()} in PEM`;
  throw new AppError("invalid_input", `Cannot use the ${what} in "${path}": ${found}`);
}
