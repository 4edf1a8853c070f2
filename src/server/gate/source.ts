import { toCanonicalAddress } from "../../lib/address.ts";

/** All of this machine, which has 2^24 addresses to speak from and one user's rights to lose. */
export const LOOPBACK = "loopback";

/**
 * Whom a penalty is for: an IPv4 address, or the /64 of an IPv6 one, since whoever has one address of it has them all.
 * Loopback counts as one. Undefined for a Unix socket: only our own user reaches that.
 */
export function toSource(address: string): string | undefined {
  if (address === "unix") return undefined;
  const canonical = toCanonicalAddress(address) ?? address;
  return isLoopbackAddress(canonical) ? LOOPBACK : toNetwork(canonical);
}

/** Who somebody's neighbours are: as `toSource`, but addresses of loopback are told apart. */
export function toNeighbour(address: string): string {
  const canonical = toCanonicalAddress(address) ?? address;
  return isLoopbackAddress(canonical) ? canonical : toNetwork(canonical);
}

/** Whether an address, as `toCanonicalAddress` writes it, is this machine's own. */
function isLoopbackAddress(canonical: string): boolean {
  return canonical.startsWith("127.") || canonical === "0:0:0:0:0:0:0:1";
}

function toNetwork(canonical: string): string {
  if (!canonical.includes(":")) return canonical;
  return `${canonical.split(":").slice(0, 4).join(":")}::/64`;
}
