import { isIPv4 } from "node:net";
import { AppError } from "../protocol/error.ts";

export const DEFAULT_PORT = 9922;

/** An address to listen on; an IPv6 one without brackets. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:9922`, `[::1]:9922`, `localhost`, or a port alone. Throws `invalid_config`, also for an address
 * beyond loopback: nothing else is served without TLS.
 */
export function parseListen(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:\s]*))(?::(\d{1,5}))?$/.exec(toFull(text)) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (host === undefined || port > 65_535 || isBrokenIPv4(host)) {
    throw new AppError(
      "invalid_config",
      `Cannot listen on "${text}": write host:port, such as 127.0.0.1:9922 or [::1]:9922`,
    );
  }
  const address = { host: host === "" ? "127.0.0.1" : host, port };
  if (isLoopback(address.host)) return address;
  throw new AppError(
    "invalid_config",
    `Cannot listen on "${text}": this version serves loopback only, because other addresses need TLS; use 127.0.0.1, [::1] or localhost`,
  );
}

/** Whether only this machine can reach a host name or address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (host.startsWith("127.") && isIPv4(host));
}

/** Four numbers that are no address, such as 127.999.0.1. */
function isBrokenIPv4(host: string): boolean {
  return /^\d+(?:\.\d+){3}$/.test(host) && !isIPv4(host);
}

/** An address as it stands in a URL or a Host header. */
export function formatAddress({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** A port alone means that port of the default host; a bare IPv6 address gets its brackets. */
function toFull(text: string): string {
  if (/^\d{1,5}$/.test(text)) return `127.0.0.1:${text}`;
  return /^[0-9a-f:]*::[0-9a-f:.]*$/i.test(text) ? `[${text}]` : text;
}
