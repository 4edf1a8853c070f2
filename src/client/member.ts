import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { toClientError } from "./client-error.ts";
import { type Environment, findTarget, type Place, type Target } from "./config.ts";
import { Connection } from "./connection.ts";
import { dial } from "./dial.ts";
import { type Login, Logins } from "./logins.ts";
import type { Session } from "./session.ts";
import { createWorkspace, type Workspace } from "./workspace.ts";

export interface ConnectOptions {
  /** Milliseconds for which to keep trying, also while the port refuses; one attempt if absent. */
  readonly timeout?: number;
  /** Milliseconds: the heartbeat interval to offer (default 15000). */
  readonly heartbeat?: number;
  /** Milliseconds for which to try to restore a connection that was lost (default two minutes); 0: not at all. */
  readonly reconnect?: number;
  readonly signal?: AbortSignal;
}

/** How a member is reached. `workspace`: undefined for one of each connection's own. */
export interface MemberPlace extends Place {
  readonly login: Login | undefined;
  readonly workspace: Workspace | undefined;
}

/** A server that a pool knows: connected or not, and as often as one likes. */
export class Member implements AsyncDisposable {
  readonly url: string;
  readonly #place: MemberPlace;
  readonly #logins: Logins | undefined;
  readonly #env: Environment;
  /** The last that was seen of a pinned key which nobody keeps for us. */
  #certificate: string | undefined;
  readonly #closing = new AbortController();
  readonly #forget: () => void;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;

  constructor(url: string, place: MemberPlace, env: Environment, forget: () => void) {
    this.url = url;
    this.#place = place;
    this.#logins = place.login && new Logins(place.login);
    this.#env = env;
    this.#forget = forget;
  }

  /** This member, as long as it is not to be reached by other means. Throws `already_exists`. */
  as(place: MemberPlace): this {
    const known: Readonly<Record<string, unknown>> = { ...this.#place };
    const other = Object.entries(place).find(
      ([name, value]) => value !== undefined && !Bun.deepEquals(value, known[name]),
    );
    if (other === undefined) return this;
    throw new AppError("already_exists", `Cannot add ${this.url}: it is there with another ${other[0]}`);
  }

  /** The open connection; undefined when there is none. */
  get connection(): Connection | undefined {
    return this.#connection?.ended.aborted === false ? this.#connection : undefined;
  }

  /** Answers the open connection, or opens one. Throws a `ClientError`: `connection_refused`, `timed_out`, `unauthenticated`. */
  async connect(options: ConnectOptions = {}): Promise<Connection> {
    this.#closing.signal.throwIfAborted();
    if (this.connection !== undefined) return this.connection;
    this.#connecting ??= this.#open(options).finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  /** Closes the connection, if there is one. Its jobs go on, and `connect` opens another. */
  async disconnect(): Promise<void> {
    await this.#connection?.[Symbol.asyncDispose]();
    this.#connection = undefined;
  }

  /** Disconnects for good and leaves the pool. */
  async close(): Promise<void> {
    this.#closing.abort(new AppError("cancelled", `Cannot connect to ${this.url}: it was closed`));
    this.#forget();
    await this.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open({ timeout, heartbeat, reconnect, signal }: ConnectOptions): Promise<Connection> {
    const { signal: closing } = this.#closing;
    const stop = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const open = async () => {
      const options = { timeout, heartbeat, reconnect, signal: stop };
      const workspace = this.#place.workspace ?? createWorkspace();
      const session = await dial((signal) => this.#find(signal), { ...options, workspace });
      return (this.#connection = await greet(session, stop));
    };
    try {
      return await open().catch((error: unknown) => {
        // The token that the password was traded for may have ended before its time: there is another.
        if (!isUnauthenticated(error) || this.#logins?.forget() !== true) throw error;
        return open();
      });
    } catch (error) {
      throw stop.aborted ? stop.reason : toClientError(error);
    }
  }

  async #find(signal: AbortSignal): Promise<Target> {
    const found = findTarget(this.#place, this.#env);
    const target = found.keep === undefined ? this.#remember(found) : found;
    return this.#logins === undefined ? target : await this.#logins.enter(target, signal);
  }

  #remember(target: Target): Target {
    if (target.trust?.type !== "pin") return target;
    const trust = { ...target.trust, certificate: this.#certificate };
    return { ...target, trust, keep: (certificate) => void (this.#certificate = certificate) };
  }
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof AppError && error.code === "unauthenticated";
}

/** Resolves with the welcome; without it, nothing is left of the session. */
async function greet(session: Session, signal: AbortSignal): Promise<Connection> {
  try {
    return new Connection(session, await abortable(session.welcome, signal));
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}
