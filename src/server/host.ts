import { isIPv4, isIPv6 } from "node:net";

/**
 * Whether a Host header names this server, whatever its port. Any address does, since a page that leads a name of its own to us
 * (DNS rebinding) comes with that name; `isNamed` answers for names, in lower case and without a final dot.
 */
export function isOwnHost(header: string, isNamed: (name: string) => boolean): boolean {
  const [, bracketed, plain = ""] = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(header) ?? [];
  if (bracketed !== undefined) return isIPv6(bracketed);
  const name = plain.toLowerCase().replace(/\.$/, "");
  return isIPv4(name) || (name !== "" && isNamed(name));
}

/** Whether an Origin header is of this very server: its scheme, and the Host that the same request names. */
export function isOwnOrigin(origin: string, host: string, isSecure: boolean): boolean {
  return origin.toLowerCase() === `http${isSecure ? "s" : ""}://${host.toLowerCase()}`;
}
