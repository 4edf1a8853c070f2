import { hostname, networkInterfaces } from "node:os";
import { AppError } from "../../protocol/error.ts";
import type { Pin } from "../../protocol/pin.ts";
import type { ServerStatus } from "../app.ts";
import type { ServerConfig } from "../config.ts";
import { DEFAULT_PORT, formatAddress, isExposed, isLoopback, type ListenAddress } from "../listen.ts";
import { findPin } from "../tls/fingerprint.ts";
import { isSelfSigned } from "../tls/pin.ts";
import { readPair } from "../tls/pair.ts";

/** Addresses of one server that an invitation names at most. */
const MAX_URLS = 16;

/** Where a server is reached, and what it is known by. */
export interface Reachability {
  /** The likeliest first: by name, by number, from this machine. */
  readonly urls: readonly string[];
  /** Absent where an authority vouches for it, or where it has no TLS. */
  readonly pin: Pin | undefined;
}

/**
 * How the server that runs is reached, or the one that the configuration describes. `given`: the addresses, where somebody knows
 * better. Throws `invalid_input` where there is none, `not_found` where it needs a key that no start has made yet, `invalid_config`.
 */
export async function findReachability(
  config: ServerConfig,
  status: ServerStatus | undefined,
  given: readonly string[] | undefined,
): Promise<Reachability> {
  const urls = given ?? toUrls(status?.listen ?? toListening(config), config.names);
  if (urls.length === 0)
    throw new AppError(
      "invalid_input",
      "Cannot invite: the server listens on no address that others reach; name one with --url",
    );
  const isSecure = urls.some((url) => url.startsWith("https:"));
  const isUnvouched = status?.tls?.selfSigned ?? isUnvouchedFor(config);
  const pin = isSecure && isUnvouched ? await findPin(config, status && { status }) : undefined;
  return { urls, pin };
}

function isUnvouchedFor({ tls: { cert, key } }: ServerConfig): boolean {
  if (cert === undefined || key === undefined) return true;
  return isSelfSigned(readPair(cert, key, new Date()).leaf);
}

/** As the status of a server would say it that runs by this configuration. */
function toListening({ listen, tls }: ServerConfig): readonly string[] {
  const addresses: readonly ListenAddress[] = listen ?? [
    { type: "tcp", host: "127.0.0.1", port: DEFAULT_PORT },
  ];
  return addresses.map((address) => {
    const text = formatAddress(address);
    return isExposed(address) ? `http${tls.insecure ? "" : "s"}://${text}` : text;
  });
}

/** Where a server is reached that listens so, as its status says it, and has these names besides the machine's. */
export function toUrls(listening: readonly string[], names: readonly string[]): readonly string[] {
  const urls = listening.flatMap((text) => {
    if (text.startsWith("unix:")) return [];
    const { protocol, hostname, port } = new URL(text.includes("://") ? text : `http://${text}`);
    const host = hostname.replace(/^\[|\]$/g, "");
    const hosts = isLoopback(host) ? [host] : [...names, ...expand(host)];
    return hosts.map((host) => ({
      // A port that goes without saying for a scheme is another than the one that goes without saying here.
      url: `${protocol}//${formatAddress({ type: "tcp", host, port: Number(port || (protocol === "https:" ? 443 : 80)) })}`,
      host,
    }));
  });
  const near = (host: string) => Number(isLoopback(host));
  const sorted = urls.sort((a, b) => near(a.host) - near(b.host)).map(({ url }) => url);
  return [...new Set(sorted)].slice(0, MAX_URLS);
}

/** An address that stands for all of this machine's. */
function expand(host: string): readonly string[] {
  if (host !== "0.0.0.0" && host !== "::") return [host];
  const own = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const outer = own.filter(({ internal, address }) => !internal && !/^fe[89ab].:/i.test(address));
  return [hostname(), ...outer.map(({ address }) => address)].filter(
    (address) => host === "::" || !address.includes(":"),
  );
}
