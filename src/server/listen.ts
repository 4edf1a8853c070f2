import { isIPv4, isIPv6 } from "node:net";
import { join, resolve } from "node:path";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_PORT, MAX_SOCKET_PATH } from "../protocol/limits.ts";

/** A TCP address to listen on; an IPv6 one without brackets. */
export interface TcpAddress {
  readonly type: "tcp";
  readonly host: string;
  readonly port: number;
  /** Whether `::` leaves IPv4 to another address; by itself it stands for both. */
  readonly isIPv6Only?: boolean;
}

/** Where to listen: at an address, or on a Unix socket at an absolute path. */
export type ListenAddress = TcpAddress | { readonly type: "unix"; readonly path: string };

/**
 * Reads `0.0.0.0:9922`, `[::1]:9922`, `web1.lab`, a port alone, or `unix:/run/farhand.sock`. Throws `invalid_config`.
 */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) return parseUnix(text);
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:\s]*))(?::(\d{1,5}))?$/.exec(toFull(text)) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (host === undefined || port > 65_535 || !(host === "" || isHost(host, bracketed !== undefined))) {
    throw new AppError(
      "invalid_config",
      `Cannot listen on "${text}": write host:port, such as 127.0.0.1:9922, [::1]:9922 or 0.0.0.0:9922, or unix:/path`,
    );
  }
  return { type: "tcp", host: host === "" ? "127.0.0.1" : toPlainHost(host), port };
}

function parseUnix(text: string): ListenAddress {
  const path = text.slice("unix:".length);
  if (path !== "" && !path.includes("\0")) return { type: "unix", path: resolve(path) };
  throw new AppError(
    "invalid_config",
    `Cannot listen on "${text}": name a path, such as unix:/run/farhand.sock`,
  );
}

/** Whether only this machine can reach a host name or address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (host.startsWith("127.") && isIPv4(host));
}

/** Whether what is said at an address leaves this machine, so that somebody on the way could read it. */
export function isExposed(address: ListenAddress): boolean {
  return address.type === "tcp" && !isLoopback(address.host);
}

/**
 * The addresses, and where all of them are exposed one more: this machine's own clients, who have neither certificates to show nor
 * to trust, use a socket in the state directory, or where that cannot be one, a port of loopback.
 */
export function addLocal(addresses: readonly ListenAddress[], state: string): readonly ListenAddress[] {
  if (!addresses.every(isExposed)) return addresses;
  const path = join(state, "server.sock");
  const isUsable = process.platform !== "win32" && Buffer.byteLength(path) <= MAX_SOCKET_PATH;
  return [...addresses, isUsable ? { type: "unix", path } : { type: "tcp", host: "127.0.0.1", port: 0 }];
}

/** The addresses, of which `::` leaves IPv4 alone where another one has the same port there. */
export function divide(addresses: readonly ListenAddress[]): readonly ListenAddress[] {
  const ports = addresses.flatMap((address) =>
    address.type === "tcp" && isIPv4(address.host) && address.port !== 0 ? [address.port] : [],
  );
  return addresses.map((address) =>
    address.type === "tcp" && address.host === "::" && ports.includes(address.port)
      ? { ...address, isIPv6Only: true }
      : address,
  );
}

/** An address as it stands in a URL or a Host header; that of a socket as it is listened on. */
export function formatAddress(address: ListenAddress): string {
  if (address.type === "unix") return `unix:${address.path}`;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** A host in lower case, and an IPv6 address in the spelling that there is one of. */
export function toPlainHost(host: string): string {
  return isIPv6(host) ? (URL.parse(`http://[${host}]`)?.hostname.slice(1, -1) ?? host) : host.toLowerCase();
}

/** An IP address, in brackets the longer kind, or a name; four numbers that are no address, such as 127.999.0.1, are neither. */
function isHost(host: string, isBracketed: boolean): boolean {
  if (isBracketed) return isIPv6(host) && !host.includes("%"); // Bun takes no zones
  return isIPv4(host) || (/^[a-z0-9_][\w.-]*$/i.test(host) && !/^\d+(?:\.\d+){3}$/.test(host));
}

/** A port alone means that port of the default host; a bare IPv6 address gets its brackets. */
function toFull(text: string): string {
  if (/^\d{1,5}$/.test(text)) return `127.0.0.1:${text}`;
  return /^[0-9a-f:]*::[0-9a-f:.]*$/i.test(text) ? `[${text}]` : text;
}
