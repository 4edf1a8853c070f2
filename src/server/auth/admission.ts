import { describeError, type Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import type { Admission, JoinRequest, LoginRequest } from "../../protocol/invite.ts";
import type * as v from "valibot";
import type { Authenticator } from "./authenticator.ts";
import { toStem } from "./invites.ts";
import type { Backend } from "./backend.ts";
import type { Store } from "./store.ts";
import type { Minted } from "./tokens.ts";

export interface AdmissionsOptions {
  readonly store: Store;
  readonly authenticator: Pick<Authenticator, "refresh">;
  readonly backend: Backend;
  /** Milliseconds for which a token is good that a password was traded for. */
  readonly loginLifetime: () => number;
  readonly log: Log;
}

/** Where secrets of other kinds are traded for tokens. */
export class Admissions {
  readonly #options: AdmissionsOptions;

  constructor(options: AdmissionsOptions) {
    this.#options = options;
  }

  /** Throws `unauthenticated`, or `unavailable` while it cannot be written down. */
  join({ secret, client }: v.InferOutput<typeof JoinRequest>, source: string): Admission {
    const minted = this.#write(() => this.#options.store.invites.claim(secret, client));
    if (minted === undefined)
      throw new AppError(
        "unauthenticated",
        "Cannot join: the invitation is wrong, was used already, or has expired; ask for another",
      );
    return this.#admit(minted, "joined", source);
  }

  /** Throws `unauthenticated`, the same for an unknown user and a wrong password; `too_many`; `unavailable`. */
  async login(request: v.InferOutput<typeof LoginRequest>, source: string): Promise<Admission> {
    const { user, password, client } = request;
    const { store, backend, loginLifetime } = this.#options;
    const found = await backend.check({ user, password, source });
    if (found === undefined) throw refused();
    const minted = this.#write(() => store.login(found, toStem(found.user, client), loginLifetime()));
    if (minted === undefined) throw refused();
    return this.#admit(minted, "logged in", source);
  }

  #admit({ text, stored }: Minted, what: string, source: string): Admission {
    const { authenticator, log } = this.#options;
    const { id, name, user, expires } = stored;
    authenticator.refresh();
    log.info(what, { user, token: id, name, source });
    return { token: text, name, user, ...(expires !== null && { expires }) };
  }

  #write<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      this.#options.log.error("token not written", { error: describeError(error) });
      throw new AppError("unavailable", "Cannot let you in just now: the server cannot write it down", {
        cause: error,
      });
    }
  }
}

function refused(): AppError {
  return new AppError("unauthenticated", "Cannot log in: the user or the password is wrong");
}
