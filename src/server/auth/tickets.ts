import { randomBytes } from "node:crypto";
import { SUBPROTOCOL } from "../../protocol/hello.ts";
import type { Identity } from "./identity.ts";

/** Milliseconds for which a ticket is good. */
const LIFE = 30_000;
/** How many there may be at once, in all and of one user: of more the oldest goes, so that nobody has others' forgotten. */
const MAX_TICKETS = 1_024;
const MAX_OWN_TICKETS = 32;

/** How a browser shows one, which can set no header: behind the subprotocol that it wants. */
const OFFER = /^farhand\.ticket\.([\w-]{43})$/;

/** A ticket, and when it ends, in milliseconds since 1970. */
export interface Ticket {
  readonly ticket: string;
  readonly expires: number;
}

/** Tickets that are good for one channel each. */
export class Tickets {
  readonly #now: () => number;
  /** The oldest first. */
  readonly #issued = new Map<string, { readonly identity: Identity; readonly expires: number }>();

  /** `now`: the wall clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  issue(identity: Identity): Ticket {
    const ticket = randomBytes(32).toString("base64url");
    const expires = this.#now() + LIFE;
    this.#issued.set(ticket, { identity, expires });
    const own = [...this.#issued].filter(([, one]) => one.identity.owner === identity.owner);
    this.#bound(
      own.map(([ticket]) => ticket),
      MAX_OWN_TICKETS,
    );
    this.#bound([...this.#issued.keys()], MAX_TICKETS);
    return { ticket, expires };
  }

  /** Forgets the oldest of some if there is one too many. */
  #bound([oldest = "", ...others]: readonly string[], most: number): void {
    if (others.length >= most) this.#issued.delete(oldest);
  }

  /** Whose ticket stands behind our subprotocol in what is offered, of which the first is what is answered; it is used up then. */
  claim([first, ...others]: readonly string[]): Identity | undefined {
    if (first !== SUBPROTOCOL) return undefined;
    const [ticket = ""] = others.flatMap((name) => OFFER.exec(name)?.[1] ?? []);
    const found = this.#issued.get(ticket);
    this.#issued.delete(ticket);
    // A clock that was set back makes none good for longer.
    const left = (found?.expires ?? 0) - this.#now();
    return left > 0 && left <= LIFE ? found?.identity : undefined;
  }
}
