import { invoke } from "../client/invoke.ts";
import type { Launched } from "../client/launch.ts";
import type { Session } from "../client/session.ts";
import { kill } from "../commands/kill.ts";
import { ping } from "../commands/ping.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import { toFarhand } from "./advice.ts";
import type { Globals } from "./globals.ts";
import type { Interrupt } from "./interrupts.ts";

/** Milliseconds for which a server may be silent after the second signal before the terminal is free. */
const PATIENCE = 1_000;

/** What signals to us do to an attached job: the first is passed on, the second cancels, the third stops waiting. */
export class Relay {
  readonly #session: Session;
  readonly #launched: Launched;
  readonly #globals: Globals;
  /** As it was asked for, until the answer tells of another that has the same key. */
  #job: JobId;
  readonly #freed = Promise.withResolvers<never>();
  #taken = 0;

  constructor(session: Session, launched: Launched, globals: Globals) {
    this.#session = session;
    this.#launched = launched;
    this.#globals = globals;
    this.#job = launched.job;
    launched.accepted.then(
      ({ job }) => (this.#job = job),
      () => {}, // whoever waits for it is told
    );
    this.#freed.promise.catch(() => {}); // whoever waits for it is told
  }

  /** Rejects when the terminal is to be freed though the job may still run. */
  get freed(): Promise<never> {
    return this.#freed.promise;
  }

  take(interrupt: Interrupt): void {
    this.#taken++;
    if (this.#taken === 1) this.#pass({ signal: interrupt });
    else if (this.#taken === 2) this.cancel();
    else this.#free();
  }

  /** Ends the job, or frees the terminal at once if the server is silent. */
  cancel(): void {
    this.#pass({ grace: DEFAULT_GRACE });
    if (this.#session.state.state !== "connected") return this.#free();
    invoke(this.#session, ping, {}, AbortSignal.timeout(PATIENCE)).catch(() => this.#free());
  }

  /**
   * Sends it once the job exists. Whether that has ended meanwhile, its output tells. Where the server is restarted before it
   * answers it is sent again: whoever signals us once waits for what comes of it, so that twice is better than not at all.
   */
  #pass(what: { readonly signal: string } | { readonly grace: number }): void {
    const send = (job: JobId) => this.#session.call(kill.name, { job, ...what }, { isIdempotent: true });
    this.#launched.accepted.then(({ job }) => send(job)).catch(() => {});
  }

  #free(): void {
    const job = this.#job;
    const message = `Not waiting any longer: job ${job} may still run; ${toFarhand(this.#globals)} kill ${job} ends it`;
    this.#freed.reject(new AppError("cancelled", message, { details: { job } }));
  }
}
