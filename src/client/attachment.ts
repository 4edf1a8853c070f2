import { after } from "../lib/abort.ts";
import { formatDuration } from "../lib/duration.ts";
import { CLOSE, toCloseCode } from "../protocol/close.ts";
import type { Beat, ClientFrame } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import { heartbeat } from "../protocol/heartbeat.ts";
import { type Hello, PROTOCOL_VERSION, type Welcome } from "../protocol/hello.ts";
import { HEARTBEAT_PATIENCE } from "../protocol/limits.ts";
import type { Peer, Receiver, Transport } from "./transport.ts";

export interface AttachmentOptions {
  readonly hello: Hello;
  /** Milliseconds within which the welcome must come. */
  readonly patience: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** What is said when nothing else was for a while. */
  readonly toBeat: () => Beat;
  /** Takes a control frame as text, a data frame as bytes. A throw ends the connection. */
  readonly onText: (text: string) => void;
  readonly onData: (frame: Uint8Array) => void;
  /** The connection is over, once and however that came, unless it was left on purpose. */
  readonly onLost: (error: AppError) => void;
}

/** One connection of a session: it greets, beats, and is over when either side falls silent or says something wrong. */
export class Attachment implements Peer, Receiver {
  readonly #transport: Transport;
  readonly #options: AttachmentOptions;
  readonly #welcome = Promise.withResolvers<Welcome>();
  readonly #over = new AbortController();
  #sentAt: number;
  #receivedAt: number;

  constructor(transport: Transport, options: AttachmentOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#sentAt = this.#receivedAt = options.now();
    this.#welcome.promise.catch(() => {}); // whoever asks for it is told
  }

  /** Greets and listens; to be called once. */
  start(): void {
    const { hello, patience } = this.#options;
    this.say(hello);
    this.#startBeating(hello.heartbeat);
    this.#expectWelcome(patience);
    this.#transport.listen(this);
  }

  /** The server's greeting; rejects with the reason if the connection is over before it. */
  get welcome(): Promise<Welcome> {
    return this.#welcome.promise;
  }

  /** Takes the greeting. Throws `unsupported_version`. */
  greeted(welcome: Welcome): void {
    if (welcome.version.major !== PROTOCOL_VERSION.major) {
      throw new AppError(
        "unsupported_version",
        `Cannot talk to this server: it speaks version ${welcome.version.major} of the protocol, ` +
          `this client version ${PROTOCOL_VERSION.major}`,
      );
    }
    this.#welcome.resolve(welcome);
  }

  say(frame: ClientFrame): void {
    this.send(JSON.stringify(frame));
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#over.signal.aborted) return;
    this.#sentAt = this.#options.now();
    this.#transport.send(frame);
  }

  /** Takes a text frame from the server. Never throws: what is wrong ends the connection. */
  receiveText(text: string): void {
    this.#guard(() => this.#options.onText(text));
  }

  /** Takes a binary frame, whose bytes are kept. Never throws. */
  receiveData(frame: Uint8Array): void {
    this.#guard(() => this.#options.onData(frame));
  }

  disconnected(error: AppError): void {
    this.lose(error);
  }

  /** Ends the connection for a reason that the server is told. The first one counts. */
  lose(reason: unknown): void {
    if (this.#over.signal.aborted) return;
    const error = toAppError(reason);
    this.close(toCloseCode(error.code), `${error.code}: ${error.message}`);
    this.#welcome.reject(error);
    this.#options.onLost(error);
  }

  /** Says goodbye and leaves. */
  leave(): void {
    this.say({ type: "goodbye" });
    this.close(CLOSE.goodbye, "goodbye");
  }

  close(code: number, reason: string): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort(new AppError("connection_lost", "This connection is over"));
    this.#transport.close(code, reason.slice(0, 120));
  }

  #guard(take: () => void): void {
    if (this.#over.signal.aborted) return;
    this.#receivedAt = this.#options.now();
    try {
      take();
    } catch (error) {
      this.lose(error);
    }
  }

  /** Ends the connection if no welcome comes. The server was reached, so it is no more than silent. */
  #expectWelcome(patience: number): void {
    const late = () =>
      this.lose(new AppError("timed_out", `Cannot connect: no welcome within ${formatDuration(patience)}`));
    const alarm = after(patience, late);
    const cancel = () => alarm[Symbol.dispose]();
    this.#welcome.promise.then(cancel, cancel);
  }

  /** The interval offered until the welcome settles it, and that one from then on. Runs by itself. */
  #startBeating(offered: number): void {
    this.#beat(offered).catch((error: unknown) => this.lose(error));
  }

  async #beat(offered: number): Promise<void> {
    const { now, toBeat } = this.#options;
    const line = {
      beat: () => this.say(toBeat()),
      idle: () => now() - this.#sentAt,
      silence: () => now() - this.#receivedAt,
    };
    const settled = new AbortController();
    this.#welcome.promise.then(
      () => settled.abort(),
      () => {},
    );
    const beat = (every: number, signal: AbortSignal) =>
      heartbeat(line, { every, patience: HEARTBEAT_PATIENCE, signal });
    const over = this.#over.signal;
    await beat(offered, AbortSignal.any([over, settled.signal])).catch((error: unknown) => {
      if (!settled.signal.aborted) throw error;
    });
    await beat((await this.#welcome.promise).heartbeat, over);
  }
}

/** An error as whoever uses the client is told of it: one that nobody foresaw hides behind a fixed sentence. */
export function toAppError(error: unknown): AppError {
  return error instanceof AppError
    ? error
    : new AppError("internal", "The client failed unexpectedly", { cause: error });
}
