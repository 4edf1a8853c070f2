import { hostname } from "node:os";
import { AppError } from "../../protocol/error.ts";
import { DEFAULT_PORT } from "../../protocol/limits.ts";
import type { Pin } from "../../protocol/pin.ts";
import type { ServerStatus } from "../app.ts";
import type { ServerConfig } from "../config.ts";
import { formatAddress, isExposed, isLoopback, type ListenAddress } from "../listen.ts";
import { listMachineAddresses } from "../names.ts";
import { findPin } from "../tls/fingerprint.ts";
import { isSelfSigned, readPair } from "../tls/pair.ts";

/** Addresses of one server that an invitation names at most. */
const MAX_URLS = 16;

/** Where a server is reached, and what it is known by. */
export interface Reachability {
  /** The likeliest first: by name, by number. Loopback only where nobody else reaches it: elsewhere that is another machine. */
  readonly urls: readonly string[];
  /** Absent where an authority vouches for it, or where it has no TLS. */
  readonly pin: Pin | undefined;
}

/** What somebody knows better. */
export interface Given {
  readonly urls: readonly string[] | undefined;
  /** Whether what answers there is known by an authority, whatever the server itself has. */
  readonly isUnpinned: boolean;
}

/**
 * How the server that runs is reached, or the one that the configuration describes. Throws `invalid_input` where there is no
 * way, `not_found` where it needs a key that no start has made yet, `invalid_config`.
 */
export async function findReachability(
  config: ServerConfig,
  status: ServerStatus | undefined,
  given: Given,
): Promise<Reachability> {
  const urls = given.urls ?? toUrls(status?.listen ?? toListening(config), config.names);
  if (urls.length === 0)
    throw new AppError(
      "invalid_input",
      "Cannot invite: the server listens on no address that others reach; name one with --url",
    );
  const isPinned = !given.isUnpinned && urls.some((url) => url.startsWith("https:"));
  const isUnvouched = () =>
    status === undefined ? isUnvouchedFor(config) : status.tls?.isSelfSigned === true;
  const pin = isPinned && isUnvouched() ? await findPin(config, status && { status }) : undefined;
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
  const outer = urls.filter(({ host }) => !isLoopback(host));
  const named = (outer.length > 0 ? outer : urls).map(({ url }) => url);
  return [...new Set(named)].slice(0, MAX_URLS);
}

/** An address that stands for all of this machine's. */
function expand(host: string): readonly string[] {
  if (host !== "0.0.0.0" && host !== "::") return [host];
  const outer = listMachineAddresses().filter((address) => !isLoopback(address));
  return [hostname(), ...outer].filter((address) => host === "::" || !address.includes(":"));
}
