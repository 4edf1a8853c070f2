import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { toClientError } from "./client-error.ts";
import { type Environment, findTarget, type Place } from "./config.ts";
import { Connection } from "./connection.ts";
import { dial } from "./dial.ts";
import { DEFAULT_PORT, parseHost } from "./host.ts";
import type { Session } from "./session.ts";
import { createWorkspace, findWorkspace, type Workspace } from "./workspace.ts";

export interface AddOptions {
  /** Of a host without one (default 9922). */
  readonly port?: number;
  /** Without, the environment's, or a local server's own. */
  readonly token?: string;
  /**
   * Names a workspace: the directory and environment that `cd` and `env` change and everything else runs in. Without, each
   * connection has one of its own, which begins at the server user's home.
   */
  readonly workspace?: string;
}

export interface ConnectOptions {
  /** Milliseconds for which to keep trying, also while the port refuses; one attempt if absent. */
  readonly timeout?: number;
  /** Milliseconds: the heartbeat interval to offer (default 15000). */
  readonly heartbeat?: number;
  /** Milliseconds for which to try to restore a connection that was lost (default two minutes); 0: not at all. */
  readonly reconnect?: number;
  readonly signal?: AbortSignal;
}

/** A server that a pool knows: connected or not, and as often as one likes. */
export class Member implements AsyncDisposable {
  readonly url: string;
  readonly #place: Place;
  readonly #workspace: Workspace | undefined;
  readonly #env: Environment;
  readonly #closing = new AbortController();
  readonly #forget: () => void;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;

  /** `workspace`: undefined for one of each connection's own. */
  constructor(
    url: string,
    { workspace, ...place }: Place & { readonly workspace: Workspace | undefined },
    env: Environment,
    forget: () => void,
  ) {
    this.url = url;
    this.#place = place;
    this.#workspace = workspace;
    this.#env = env;
    this.#forget = forget;
  }

  /** This member, as long as it is not to have another token. Throws `already_exists`. */
  withToken(token: string | undefined): this {
    if (token === undefined || token === this.#place.token) return this;
    throw new AppError("already_exists", `Cannot add ${this.url}: it is there with another token`);
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
    try {
      const session = await dial(() => findTarget(this.#place, this.#env), {
        timeout,
        heartbeat,
        reconnect,
        workspace: this.#workspace ?? createWorkspace(),
        signal: stop,
      });
      return (this.#connection = await greet(session, stop));
    } catch (error) {
      throw stop.aborted ? stop.reason : toClientError(error);
    }
  }
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

/** The servers that a program works with. Disposing it closes them all. */
export class Pool implements AsyncDisposable {
  readonly #members = new Map<string, Member>();
  readonly #env: Environment;

  /** `env`: where `FARHAND_TOKEN` and `FARHAND_STATE` are looked up. */
  constructor(env: Environment = process.env) {
    this.#env = env;
  }

  /**
   * Makes a server known by name, `name:port` or URL; the same address twice is the same member, unless the workspace is
   * another. Throws `invalid_input`, `already_exists` for another token.
   */
  add(host: string, { port = DEFAULT_PORT, token, workspace: name }: AddOptions = {}): Member {
    const { url } = parseHost(host, port);
    const workspace = name === undefined ? undefined : findWorkspace(name, {});
    const key = `${url} ${name ?? ""}`;
    const known = this.#members.get(key);
    if (known !== undefined) return known.withToken(token);
    const forget = () => this.#members.delete(key);
    const member = new Member(url, { host: url, token, workspace }, this.#env, forget);
    this.#members.set(key, member);
    return member;
  }

  /** Closes every member. */
  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
