import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { type Environment, findTarget, type Place } from "./config.ts";
import { Connection } from "./connection.ts";
import { dial } from "./dial.ts";
import { DEFAULT_PORT, parseHost } from "./host.ts";

export interface AddOptions {
  /** Of a host without one (default 9922). */
  readonly port?: number;
  /** Without, the environment's, or a local server's own. */
  readonly token?: string;
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
  readonly #env: Environment;
  readonly #closing = new AbortController();
  readonly #forget: () => void;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;

  constructor(url: string, place: Place, env: Environment, forget: () => void) {
    this.url = url;
    this.#place = place;
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

  /** Answers the open connection, or opens one. Throws `connection_refused`, `timed_out`, `unauthenticated`. */
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
    const session = await dial(() => findTarget(this.#place, this.#env), {
      timeout,
      heartbeat,
      reconnect,
      signal: stop,
    });
    try {
      this.#connection = new Connection(session, await abortable(session.welcome, stop));
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
    return this.#connection;
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
   * Makes a server known by name, `name:port` or URL; the same address twice is the same member. Throws `invalid_input`,
   * `already_exists` for another token.
   */
  add(host: string, { port = DEFAULT_PORT, token }: AddOptions = {}): Member {
    const { url } = parseHost(host, port);
    const known = this.#members.get(url);
    if (known !== undefined) return known.withToken(token);
    const member = new Member(url, { host: url, token }, this.#env, () => this.#members.delete(url));
    this.#members.set(url, member);
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
