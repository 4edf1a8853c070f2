import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { after } from "../lib/abort.ts";
import { describeError } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_PORT } from "../protocol/limits.ts";
import { Endpoint } from "./endpoint.ts";
import { divide, isExposed, isLoopback, type ListenAddress } from "./listen.ts";
import { type ListenOptions, openListener } from "./listener.ts";
import { clearSocket } from "./socket.ts";
import type { Credentials } from "./tls/tls.ts";

/** Milliseconds that a stopping server gives to connections that are still being closed. */
const DRAIN_TIME = 500;

const LOOPBACK = { type: "tcp", host: "127.0.0.1", port: DEFAULT_PORT } as const;

/** Every address that a server answers at. */
export class Endpoints implements AsyncDisposable {
  readonly #all: readonly Endpoint[];
  readonly #options: ListenOptions;

  constructor(all: readonly Endpoint[], options: ListenOptions) {
    this.#all = all;
    this.#options = options;
  }

  get urls(): string[] {
    return this.#all.map(({ url }) => url);
  }

  /** Where this machine's own clients connect: the first address that is not served by TLS. */
  get local(): string {
    const local = this.#all.find(({ address }) => !isExposed(address));
    if (local === undefined) throw new AppError("internal", "No address for this machine's own clients");
    return local.address.type === "unix" ? local.url : `http://${local.url}`;
  }

  /** Meets who connects from now on with other credentials. Throws, and changes nothing, where they cannot be used. */
  async secure(credentials: Credentials): Promise<void> {
    // Tried where nobody is: an address that is given up for them may be lost.
    await openListener({ ...LOOPBACK, port: 0 }, credentials, this.#options).stop(true);
    for (const endpoint of this.#all) endpoint.secure(credentials);
  }

  /** Requests under way get their answers; whoever does not take them in time is cut off. */
  async [Symbol.asyncDispose](): Promise<void> {
    const late = Promise.withResolvers<void>();
    using _limit = after(DRAIN_TIME, late.resolve);
    await Promise.race([Promise.all(this.#all.map((endpoint) => endpoint.drain())), late.promise]);
    await Promise.all(this.#all.map((endpoint) => endpoint.close()));
  }
}

/**
 * Opens every address; with `credentials`, those beyond loopback by TLS. Throws `unavailable` when one is taken; without IPv6 the
 * default is IPv4 alone.
 */
export async function listen(
  wanted: readonly ListenAddress[] | undefined,
  credentials: Credentials | undefined,
  options: ListenOptions,
): Promise<Endpoints> {
  const opened: Endpoint[] = [];
  try {
    for (const address of divide(wanted ?? [LOOPBACK])) {
      await prepare(address);
      opened.push(new Endpoint(address, isExposed(address) ? credentials : undefined, options));
    }
  } catch (error) {
    await Promise.all(opened.map((endpoint) => endpoint.close()));
    throw error;
  }
  if (wanted === undefined) {
    try {
      opened.push(new Endpoint({ ...LOOPBACK, host: "::1" }, undefined, options));
    } catch (error) {
      options.log.warn("not listening on IPv6", { error: describeError(error) });
    }
  }
  return new Endpoints(opened, options);
}

/** Finds out what Bun would not tell, or tell wrongly. */
async function prepare(address: ListenAddress): Promise<void> {
  if (address.type === "unix") return clearSocket(address.path);
  const { host } = address;
  if (isIP(host) !== 0 || isLoopback(host)) return;
  try {
    await lookup(host);
  } catch (error) {
    const why = "no machine of that name is known; name an address of this one, or 0.0.0.0 for all";
    throw new AppError("unavailable", `Cannot listen on "${host}": ${why}`, { cause: error });
  }
}
