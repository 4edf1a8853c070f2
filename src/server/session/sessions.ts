import type { Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import { type Hello, PROTOCOL_VERSION } from "../../protocol/hello.ts";
import type { SessionId } from "../../protocol/id.ts";
import { MAX_DESERTED_SESSIONS } from "../../protocol/limits.ts";
import type { Identity } from "../auth/identity.ts";
import { Deserted } from "./deserted.ts";
import { MAX_USER_UNACKNOWLEDGED_BYTES, Session, type SessionOptions } from "./session.ts";

export interface SessionsOptions extends Omit<
  SessionOptions,
  "identity" | "isOverdrawn" | "onDeserted" | "onEnd"
> {
  readonly log: Log;
}

/** Every session of this server: those with a connection, and those that wait for their client's next one. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<SessionId, Session>();
  readonly #deserted = new Deserted<Session>(MAX_DESERTED_SESSIONS);

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /**
   * The session that a client goes on with, or a new one: also for a client whose session is gone, who sees that by the
   * new one's id, and for one who cannot prove that a session is his. Throws `unsupported_version`.
   */
  open({ version, resume }: Hello, identity: Identity): Session {
    if (version.major !== PROTOCOL_VERSION.major) {
      throw new AppError(
        "unsupported_version",
        `Cannot speak version ${version.major}: this server speaks ${PROTOCOL_VERSION.major}`,
      );
    }
    const known = resume && this.#sessions.get(resume.session);
    if (resume !== undefined && known?.isOwnedBy(identity, resume)) {
      this.#deserted.delete(known);
      return known;
    }
    return this.#create(identity);
  }

  /** Ends every session for the same reason, or those of some. */
  endAll(reason: AppError, isMeant: (identity: Identity) => boolean = () => true): void {
    for (const session of [...this.#sessions.values()])
      if (isMeant(session.identity)) session.end(false, reason);
  }

  #create(identity: Identity): Session {
    const session = new Session({
      ...this.#options,
      identity,
      isOverdrawn: () => this.#countUnacknowledged(identity.owner) > MAX_USER_UNACKNOWLEDGED_BYTES,
      onDeserted: () => this.#desert(session),
      onEnd: () => {
        this.#sessions.delete(session.id);
        this.#deserted.delete(session);
      },
    });
    this.#sessions.set(session.id, session);
    return session;
  }

  /** Bytes that all sessions of a user keep for their clients. */
  #countUnacknowledged(owner: string): number {
    let bytes = 0;
    for (const { identity, unacknowledged } of this.#sessions.values())
      if (identity.owner === owner) bytes += unacknowledged;
    return bytes;
  }

  #desert(session: Session): void {
    const oldest = this.#deserted.add(session);
    if (oldest === undefined) return;
    this.#options.log.warn("session given up: too many wait for their clients", { session: oldest.id });
    oldest.end(false, new AppError("too_many", "The server keeps no more sessions without a connection"));
  }
}
