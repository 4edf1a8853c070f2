import { borrow } from "../client/borrow.ts";
import type { Session } from "../client/session.ts";

/** One session for verb after verb. When it has ended, the next verb opens another. */
export class StandingSession implements AsyncDisposable {
  readonly #open: (signal: AbortSignal) => Promise<Session>;
  #session: Session | undefined;

  constructor(open: (signal: AbortSignal) => Promise<Session>) {
    this.#open = open;
  }

  /** The session, lent for as long as one verb runs. Throws as opening does. */
  async lend(signal: AbortSignal): Promise<Session> {
    if (this.#session === undefined || this.#session.ended.aborted) this.#session = await this.#open(signal);
    return borrow(this.#session);
  }

  /** The session as it is, if there is one. */
  get session(): Session | undefined {
    return this.#session?.ended.aborted === false ? this.#session : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }
}
