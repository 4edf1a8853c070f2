import { hostname, networkInterfaces } from "node:os";
import { formatAddress, isLoopback } from "../listen.ts";

/** Addresses of one server that an invitation names at most. */
const MAX_URLS = 16;

/** Where a server is reached that listens so (as its status says it), the likeliest first: by name, by number, from this machine. */
export function toUrls(listening: readonly string[]): readonly string[] {
  const urls = listening.flatMap((text) => {
    if (text.startsWith("unix:")) return [];
    const { protocol, hostname, port } = new URL(text.includes("://") ? text : `http://${text}`);
    return expand(hostname.replace(/^\[|\]$/g, "")).map((host) => ({
      url: `${protocol}//${formatAddress({ type: "tcp", host, port: Number(port) })}`,
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
  const outer = own.filter(({ internal, scopeid }) => !internal && !scopeid);
  return [hostname(), ...outer.map(({ address }) => address)].filter(
    (address) => host === "::" || !address.includes(":"),
  );
}
