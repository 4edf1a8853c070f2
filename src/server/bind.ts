import { findPortOwner } from "../process/port.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_BODY_BYTES } from "../protocol/limits.ts";
import { formatAddress, type ListenAddress } from "./listen.ts";
import { checkPrivate, openPrivately } from "./socket.ts";
import type { Credentials } from "./tls/tls.ts";
import { toErrorCode } from "../lib/error-code.ts";

/** What is done with what comes; `Data` is what each WebSocket carries along. */
export type Handlers<Data> = Pick<Bun.Serve.Options<Data>, "error" | "fetch" | "websocket">;

/** Takes an address, and serves it by TLS where there are credentials. Throws `unavailable`. */
export function bind<Data>(
  address: ListenAddress,
  credentials: Credentials | undefined,
  handlers: Handlers<Data>,
): Bun.Server<Data> {
  const options = {
    ...handlers,
    maxRequestBodySize: MAX_BODY_BYTES,
    development: false,
    ...(credentials && { tls: toTlsOptions(credentials) }),
  };
  try {
    if (address.type === "unix") {
      const { path } = address;
      // Bun's types know no options that are as often for a socket as for a port.
      const server = openPrivately(() => Bun.serve({ ...options, unix: path } as Bun.Serve.Options<Data>));
      return checkPrivate(path, server);
    }
    return Bun.serve({
      ...options,
      hostname: address.host,
      port: address.port,
      ipv6Only: address.isIPv6Only ?? false,
      // On Linux it is shared otherwise: a second server would take every other connection of the first.
      reusePort: false,
    } as Bun.Serve.Options<Data>);
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    const why = `Cannot listen on ${formatAddress(address)}: ${explain(error, address)}`;
    throw new AppError("unavailable", why, { cause: error });
  }
}

/** Bun speaks TLS 1.2 and 1.3, and nothing older. */
function toTlsOptions({ cert, key, clientCa }: Credentials): Bun.TLSOptions {
  if (clientCa === undefined) return { cert, key };
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}

function explain(error: Error, address: ListenAddress): string {
  const advice = "choose another with --listen";
  switch (toErrorCode(error)) {
    case "EADDRINUSE": {
      const owner = address.type === "tcp" ? findPortOwner(address.port) : undefined;
      const who = owner === undefined ? "" : ` by ${owner.name} with pid ${owner.pid}`;
      return `the ${address.type === "tcp" ? "port" : "path"} is in use${who}; ${advice}`;
    }
    case "EACCES":
      return address.type === "tcp"
        ? `ports so low are for root, or for who has CAP_NET_BIND_SERVICE; ${advice}`
        : "its directory may not be written to";
    case "EADDRNOTAVAIL":
      return `this machine has no such address; ${advice}`;
    case "ENAMETOOLONG":
      return "the path is too long for a socket (107 bytes at most)";
    case "ENOENT":
      return "its directory does not exist";
    default:
      return error.message;
  }
}
