import { formatAddress, isLoopback, type ListenAddress } from "./listen.ts";
import { type Listener, type ListenOptions, openListener, prepareListener } from "./listener.ts";
import type { Credentials } from "./tls/tls.ts";

/** One address that is served, over every change of its credentials. */
export class Endpoint {
  /** With the port that it really has. */
  readonly address: ListenAddress;
  readonly #options: ListenOptions;
  #credentials: Credentials | undefined;
  #listener: Listener;
  /** Listeners that take no new connections, and still have some of theirs. */
  readonly #retired = new Set<Listener>();

  /** By TLS where there are credentials. Throws `unavailable`. */
  constructor(wanted: ListenAddress, credentials: Credentials | undefined, options: ListenOptions) {
    this.#options = options;
    this.#credentials = credentials;
    this.#listener = openListener(wanted, credentials, options);
    const { port = 0 } = this.#listener;
    this.address = wanted.type === "tcp" ? { ...wanted, port } : wanted;
  }

  get isSecure(): boolean {
    return this.#credentials !== undefined;
  }

  /** Where it is reached, as far as that can be said from here: on loopback without the scheme, which goes without saying. */
  get url(): string {
    const { address, isSecure } = this;
    const text = formatAddress(address);
    if (address.type === "unix" || (isLoopback(address.host) && !isSecure)) return text;
    return `http${isSecure ? "s" : ""}://${text}`;
  }

  /** Who connects from now on meets other credentials; who is connected notices nothing. Throws `unavailable`. */
  secure(credentials: Credentials): void {
    if (!this.isSecure) return;
    const open = prepareListener(this.address, credentials, this.#options);
    const old = this.#listener;
    this.#retired.add(old);
    // It is closed at once, so that in the same turn another one can have the address.
    void old.stop().then(() => this.#retired.delete(old));
    try {
      this.#listener = open();
      this.#credentials = credentials;
    } catch (error) {
      this.#listener = openListener(this.address, this.#credentials, this.#options);
      throw error;
    }
  }

  /** Takes no new connections. Resolves when those there were have ended. */
  async drain(): Promise<void> {
    await Promise.all([this.#listener, ...this.#retired].map((listener) => listener.stop()));
  }

  /** Ends whatever is connected. */
  async close(): Promise<void> {
    await Promise.all([this.#listener, ...this.#retired].map((listener) => listener.stop(true)));
  }
}
