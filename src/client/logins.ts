import type { Target } from "./config.ts";

/** Milliseconds before its end at which a token is not used any more. */
const MARGIN = 30_000;

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Trades a user's password for tokens, one at a time, when one is needed. */
export class Logins {
  readonly #login: Login;
  #token: { readonly text: string; readonly expires: number } | undefined;

  constructor(login: Login) {
    this.#login = login;
  }

  /** The target with a token. Throws as trading does. */
  async enter(target: Target, signal: AbortSignal): Promise<Target> {
    if (this.#token === undefined || this.#token.expires - MARGIN < Date.now())
      this.#token = await this.#trade(target, signal);
    return { ...target, token: this.#token.text, isLocal: false };
  }

  /** Takes the token for invalid, and answers whether there was one. */
  forget(): boolean {
    const had = this.#token !== undefined;
    this.#token = undefined;
    return had;
  }

  async #trade(target: Target, signal: AbortSignal): Promise<{ text: string; expires: number }> {
    const { trade } = await import("./admission.ts");
    const { token, expires = Number.POSITIVE_INFINITY } = await trade(
      target,
      { type: "login", ...this.#login },
      signal,
    );
    return { text: token, expires };
  }
}
