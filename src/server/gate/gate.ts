import type { Log } from "../../lib/log.ts";
import { openSockets } from "../../process/sockets.ts";
import { toBearer } from "../auth/local.ts";
import { Penalties } from "./penalties.ts";
import { Regulars } from "./regulars.ts";
import { LOOPBACK, toNeighbour, toSource } from "./source.ts";
import { Strangers, watchStrangers } from "./strangers.ts";
import { toCanonicalAddress } from "../../lib/address.ts";

/** One request, by where it comes from. */
export interface Visit {
  /** The address that it comes from, or `unix`; also when its connection is gone meanwhile. */
  readonly source: string;
  /** Milliseconds for which nothing that it presents is looked at; 0 when it is. */
  readonly wait: number;
  /** Whether it was let in. */
  readonly isAdmitted: boolean;
  admit(): void;
  /** It presents a password or an invitation, which can be guessed, whatever token it shows besides. */
  trade(): void;
  /** What it presented was wrong. */
  fail(): void;
}

export interface GateOptions {
  readonly log: Log;
  /** Whether a token is this start's own, which only this machine's user can read. */
  readonly isOwn: (token: string) => boolean;
  /** Nothing of this source is looked at for a while. */
  readonly onPenalized: (source: string) => void;
  /** Ends the watch over connections. */
  readonly signal: AbortSignal;
}

/** Stands between the network and everybody else: who tries too much is refused before he costs anything. */
export class Gate {
  readonly #isOwn: (token: string) => boolean;
  readonly #penalties: Penalties;
  readonly #regulars: Regulars;
  readonly #strangers: Strangers | undefined;

  constructor({ log, isOwn, onPenalized, signal }: GateOptions) {
    const now = () => performance.now();
    this.#isOwn = isOwn;
    this.#penalties = new Penalties(now, (source) => {
      log.warn("source refused for a while", { source });
      onPenalized(source);
    });
    this.#regulars = new Regulars(now);
    const sockets = openSockets();
    if (sockets === undefined) return;
    this.#strangers = new Strangers({
      sockets,
      now,
      random: Math.random,
      log,
      onOffence: (peer, offence) => this.#punish(toHost(peer), offence),
      isRefused: (peer) => this.#isShutTo(toHost(peer)),
      toSource: (peer) => toSource(toHost(peer)) ?? peer,
    });
    watchStrangers(this.#strangers, log, signal).catch(() => {}); // it ends with the server, and logs what fails
  }

  /** Bounds the connections that come in on a port, which others than this machine reach. */
  watch(port: number): void {
    this.#strangers?.watch(port);
  }

  /** Somebody who was let in is connected from an address, until it is disposed. */
  enter(address: string): Disposable {
    return this.#regulars.enter(toNeighbour(address));
  }

  /** `from`: null for a Unix socket. */
  knock(request: Request, from: { readonly address: string; readonly port: number } | null): Visit {
    const address = from?.address ?? "unix";
    const peer = from === null ? undefined : `${toCanonicalAddress(address) ?? address} ${from.port}`;
    if (peer !== undefined) this.#strangers?.note(peer);
    const token = toBearer(request.headers.get("authorization") ?? undefined);
    let isAdmitted = false;
    let isTrade = false;
    const toWait = () => this.#toWait(address, isTrade ? undefined : token);
    return {
      source: address,
      get wait() {
        return toWait();
      },
      get isAdmitted() {
        return isAdmitted;
      },
      admit: () => {
        isAdmitted = true;
        if (peer !== undefined) this.#strangers?.admit(peer);
      },
      trade: () => {
        isTrade = true;
      },
      fail: () => {
        const presented = isTrade ? crypto.randomUUID() : (token ?? findTicket(request));
        // A page of anybody's can have a browser ask for something here; it cannot have it present something.
        if (presented !== undefined) this.#punish(address, "failed", presented);
      },
    };
  }

  /** `token`: undefined for whoever presents something else. */
  #toWait(address: string, token: string | undefined): number {
    const source = toSource(address);
    const left = source === undefined ? 0 : this.#penalties.left(source);
    if (left === 0 || token === undefined) return left;
    // Nobody guesses a token. Passwords are none, and are not looked at.
    if (this.#regulars.has(toNeighbour(address))) return 0;
    return source === LOOPBACK && this.#isOwn(token) ? 0 : left;
  }

  #isShutTo(address: string): boolean {
    const source = toSource(address);
    if (source === undefined || source === LOOPBACK || this.#regulars.has(toNeighbour(address))) return false;
    return this.#penalties.left(source) > 0;
  }

  #punish(address: string, offence: "failed" | "lingered" | "silent", presented?: string): void {
    const source = toSource(address);
    if (source !== undefined) this.#penalties.add(source, offence, presented);
  }
}

function toHost(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(" "));
}

function findTicket({ headers }: Request): string | undefined {
  return /farhand\.ticket\.[^,\s]+/.exec(headers.get("sec-websocket-protocol") ?? "")?.[0];
}
