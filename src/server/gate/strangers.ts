import { delay, turn } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { Accepted, Sockets } from "../../process/sockets.ts";
import { LOGIN_GRACE, MAX_SOURCE_STRANGERS, MAX_STRANGERS, SPARED_STRANGERS } from "../../protocol/limits.ts";

/** Connections that are ended before others have their turn. */
const SLICE = 64;
/** Milliseconds between two looks, and while there are more strangers than can be spared. */
const LOOK_EVERY = 1_000;
const LOOK_OFTEN = 250;
/** A look may take this part of the time. */
const SHARE = 1 / 30;
/** Milliseconds between two looks at most. */
const LOOK_SELDOM = 3_000;
/** Milliseconds after which Bun gives up a connection that has sent no whole head, less a look. */
const RUNTIME_PATIENCE = 11_000;
/** The chance of one beyond those that can be spared; it grows to 1 as the most are reached. */
const FIRST_CHANCE = 0.3;

export interface StrangersOptions {
  readonly sockets: Sockets;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** A number from 0 to 1. */
  readonly random: () => number;
  readonly log: Log;
  /** A peer held a connection for as long as that is borne, or for a while, and asked for nothing. */
  readonly onOffence: (peer: string, offence: "lingered" | "silent") => void;
  /** Whether a peer's source is refused anyway. */
  readonly isRefused: (peer: string) => boolean;
  /** Whom a peer counts with. */
  readonly toSource: (peer: string) => string;
}

/** What is known of a connection on which nobody was let in. */
interface Stranger {
  /** When it was seen first. */
  readonly since: number;
  /** Whether it asked for something, and was answered. */
  hasAsked: boolean;
  /** Chance has decided for it. */
  isSpared: boolean;
}

/**
 * The connections that have not authenticated, which the runtime does not tell us of: they are found among our sockets again and
 * again. Each may stay for the login grace. When there are too many, in all or of one source, those go first that have been
 * silent for the longest, and among those that came together chance decides.
 */
export class Strangers {
  readonly #options: StrangersOptions;
  readonly #ports = new Set<number>();
  /** Those who were let in, as long as their connection is there, and when. */
  readonly #admitted = new Map<string, number>();
  readonly #strangers = new Map<string, Stranger>();

  constructor(options: StrangersOptions) {
    this.#options = options;
  }

  /** Whether there is any port to look at. */
  get isNeeded(): boolean {
    return this.#ports.size > 0;
  }

  /** Looks at what comes in on a port from now on. */
  watch(port: number): void {
    this.#ports.add(port);
  }

  /** A peer was let in: its connection is none of a stranger any more. */
  admit(peer: string): void {
    if (!this.isNeeded) return;
    this.#strangers.delete(peer);
    this.#admitted.set(peer, this.#options.now());
  }

  /** A peer that was not let in has asked for something. */
  note(peer: string): void {
    if (!this.isNeeded || this.#admitted.has(peer)) return;
    const stranger = this.#strangers.get(peer) ?? { since: this.#options.now(), isSpared: false };
    this.#strangers.set(peer, { ...stranger, hasAsked: true });
  }

  /** Looks once. Answers how many stay, and how many had to go. */
  async runOnce(): Promise<{ readonly staying: number; readonly ended: number }> {
    const { sockets, now, log } = this.#options;
    const began = now();
    const open = await sockets.list(this.#ports);
    this.#forget(new Set(open.map(({ peer }) => peer)), began);
    const strangers = open.filter(({ peer }) => !this.#admitted.has(peer));
    for (const { peer } of strangers) this.#meet(peer, now());
    const ended = this.#choose(strangers);
    for (const [index, accepted] of ended.entries()) {
      if (index % SLICE === SLICE - 1) await turn();
      sockets.end(accepted);
      this.#strangers.delete(accepted.peer);
    }
    if (ended.length > 0)
      log.info("strangers sent away", { count: ended.length, first: ended[0]?.peer ?? "" });
    return { staying: strangers.length - ended.length, ended: ended.length };
  }

  /** Those who are gone. */
  #forget(open: ReadonlySet<string>, began: number): void {
    for (const [peer, since] of this.#admitted)
      if (since < began && !open.has(peer)) this.#admitted.delete(peer);
    for (const [peer, { since, hasAsked }] of this.#strangers) {
      if (since >= began || open.has(peer)) continue;
      this.#strangers.delete(peer);
      if (hasAsked) continue;
      this.#options.onOffence(peer, began - since >= RUNTIME_PATIENCE ? "lingered" : "silent");
    }
  }

  #meet(peer: string, now: number): void {
    if (!this.#strangers.has(peer))
      this.#strangers.set(peer, { since: now, hasAsked: false, isSpared: false });
  }

  /** Those that have to go. */
  #choose(strangers: readonly Accepted[]): Accepted[] {
    const counts = new Map<string, number>();
    let staying = 0;
    return this.#sort(strangers).flatMap(({ accepted, stranger }) => {
      const source = this.#options.toSource(accepted.peer);
      const count = counts.get(source) ?? 0;
      if (count >= MAX_SOURCE_STRANGERS || this.#mustGo(accepted.peer, stranger, staying)) return accepted;
      counts.set(source, count + 1);
      staying++;
      return [];
    });
  }

  /** `staying`: how many others do. */
  #mustGo(peer: string, stranger: Stranger, staying: number): boolean {
    const { random, isRefused, onOffence, now } = this.#options;
    const age = now() - stranger.since;
    if (age >= LOGIN_GRACE - LOOK_EVERY) {
      onOffence(peer, "lingered");
      return true;
    }
    if (staying >= MAX_STRANGERS || isRefused(peer)) return true;
    // What is first seen may be just about to ask, and what has asked is being answered.
    if (age < LOOK_OFTEN / 2 || stranger.isSpared || stranger.hasAsked) return false;
    stranger.isSpared = random() >= toChance(staying);
    return !stranger.isSpared;
  }

  /** The latest first; those that came together in any order. */
  #sort(strangers: readonly Accepted[]) {
    return strangers
      .flatMap((accepted) => {
        const stranger = this.#strangers.get(accepted.peer);
        return stranger === undefined ? [] : { accepted, stranger, lot: this.#options.random() };
      })
      .sort((one, other) => other.stranger.since - one.stranger.since || one.lot - other.lot);
  }
}

/** Looks at strangers again and again, until the signal is aborted. */
export async function watchStrangers(strangers: Strangers, log: Log, signal: AbortSignal): Promise<never> {
  for (let pause = LOOK_EVERY; ;) {
    await delay(pause, signal);
    if (!strangers.isNeeded) continue;
    const began = performance.now();
    try {
      const { staying, ended } = await strangers.runOnce();
      const wanted = staying + ended > SPARED_STRANGERS ? LOOK_OFTEN : LOOK_EVERY;
      pause = Math.min(LOOK_SELDOM, Math.max(wanted, (performance.now() - began) / SHARE));
    } catch (error) {
      log.error("cannot look at connections", { error: describeError(error) });
    }
  }
}

/** OpenSSH's random early drop: the chance of one more beside so many. */
function toChance(staying: number): number {
  if (staying < SPARED_STRANGERS) return 0;
  return (
    FIRST_CHANCE + ((1 - FIRST_CHANCE) * (staying - SPARED_STRANGERS)) / (MAX_STRANGERS - SPARED_STRANGERS)
  );
}
