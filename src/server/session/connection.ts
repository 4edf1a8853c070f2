import { after } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { CLOSE, toCloseCode } from "../../protocol/close.ts";
import { type Beat, ClientFrame, decodeControl, type ServerFrame } from "../../protocol/control.ts";
import { decodeData } from "../../protocol/data.ts";
import { AppError, toErrorBody } from "../../protocol/error.ts";
import { heartbeat } from "../../protocol/heartbeat.ts";
import type { Hello } from "../../protocol/hello.ts";
import { HEARTBEAT_PATIENCE, HELLO_TIMEOUT } from "../../protocol/limits.ts";
import type { Identity } from "../auth/identity.ts";
import type { Session } from "./session.ts";

/** The far end of a connection. */
export interface Peer {
  sendText(text: string): void;
  sendBytes(bytes: Uint8Array): void;
  /** Bytes that the connection has not sent yet. */
  queued(): number;
  close(code: number, reason: string): void;
}

export interface ConnectionOptions {
  readonly identity: Identity;
  readonly log: Log;
  /** The session that a client's greeting asks for. Throws why it cannot have one. */
  readonly openSession: (hello: Hello) => Session;
}

/** One connection of a client, which greets, is attached to its session, and ends when either side falls silent. */
export class Connection {
  readonly #peer: Peer;
  readonly #options: ConnectionOptions;
  readonly #controller = new AbortController();
  readonly #helloTimer: Disposable;
  #session: Session | undefined;
  /** The greeting as it came: one that comes twice is no mistake of the client's. */
  #hello = "";
  #heard = performance.now();
  #spoke = performance.now();

  constructor(peer: Peer, options: ConnectionOptions) {
    this.#peer = peer;
    this.#options = options;
    const late = () => this.fail(new AppError("timed_out", `No hello came within ${HELLO_TIMEOUT} ms`));
    this.#helloTimer = after(HELLO_TIMEOUT, late);
  }

  /** Whose it is. */
  get identity(): Identity {
    return this.#options.identity;
  }

  get isOpen(): boolean {
    return !this.#controller.signal.aborted;
  }

  receiveText(text: string): void {
    this.#guard(() => {
      if (this.#hello !== "" && text === this.#hello) return;
      const frame = decodeControl(ClientFrame, text);
      if (frame.type !== "hello") return this.#attached.receive(frame, this);
      this.#greet(frame);
      this.#hello = text;
    });
  }

  receiveBytes(bytes: Uint8Array): void {
    this.#guard(() => this.#attached.receiveData(decodeData(bytes)));
  }

  /** The connection has room again. */
  drain(): void {
    if (this.isOpen) this.#session?.resumeOutput();
  }

  /** The connection has ended; `onPurpose` if the client said so. */
  disconnect(onPurpose: boolean): void {
    if (onPurpose) return this.#end(SAID_GOODBYE, true);
    this.#end(new AppError("connection_lost", "The client is gone"));
  }

  send(frame: ServerFrame): void {
    if (!this.isOpen) return;
    this.#spoke = performance.now();
    this.#peer.sendText(JSON.stringify(frame));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#spoke = performance.now();
    this.#peer.sendBytes(bytes);
  }

  /** Bytes that were not sent yet. */
  get queued(): number {
    return this.#peer.queued();
  }

  /** Beats, and ends the connection when the client falls silent; `every`: milliseconds. `toBeat`: what a beat says. */
  startHeartbeat(every: number, toBeat: () => Beat): void {
    const line = {
      beat: () => this.send(toBeat()),
      silence: () => performance.now() - this.#heard,
      idle: () => performance.now() - this.#spoke,
    };
    const { signal } = this.#controller;
    heartbeat(line, { every, patience: HEARTBEAT_PATIENCE, signal }).catch((error) => this.fail(error));
  }

  /** The client said goodbye. */
  leave(): void {
    if (!this.isOpen) return;
    this.#end(SAID_GOODBYE, true);
    this.#peer.close(CLOSE.goodbye, "goodbye");
  }

  /** Ends the connection for a reason that the client is told. Its session waits for another if that could do better. */
  fail(error: unknown): void {
    if (!this.isOpen) return;
    const { log, identity } = this.#options;
    const { owner } = identity;
    const body = toErrorBody(error);
    if (error instanceof AppError)
      log.info("connection closed", { owner, code: body.code, message: body.message });
    else log.error("connection failed", { owner, error: describeError(error) });
    this.send({ type: "goodbye", error: body });
    // First, since closing tells us at once that the client is gone, which the session would survive.
    this.#end(error instanceof AppError ? error : new AppError("internal", body.message));
    // A close frame's reason has room for 123 bytes.
    this.#peer.close(toCloseCode(body.code), `${body.code}: ${body.message}`.slice(0, 120));
  }

  get #attached(): Session {
    if (this.#session === undefined)
      throw new AppError("protocol_error", "Cannot accept a frame: the first one must be a hello");
    return this.#session;
  }

  #greet(hello: Hello): void {
    if (this.#session !== undefined) throw new AppError("protocol_error", "Cannot accept a second hello");
    this.#session = this.#options.openSession(hello);
    this.#helloTimer[Symbol.dispose]();
    this.#session.attach(this, hello);
  }

  #guard(handle: () => void): void {
    if (!this.isOpen) return;
    this.#heard = performance.now();
    try {
      handle();
    } catch (error) {
      this.fail(error);
    }
  }

  #end(reason: AppError, onPurpose = false): void {
    if (!this.isOpen) return;
    this.#controller.abort(reason);
    this.#helloTimer[Symbol.dispose]();
    if (onPurpose || !SURVIVED.includes(reason.code)) this.#session?.end(onPurpose, reason);
    else this.#session?.detach(this);
  }
}

const SAID_GOODBYE = new AppError("connection_lost", "The client said goodbye");

/** Failures of a connection that the next one of the same session may not meet. */
const SURVIVED = ["sequence_gap", "peer_lost", "session_replaced", "connection_lost"];
