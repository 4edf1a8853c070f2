import { after } from "../lib/abort.ts";
import { formatDuration } from "../lib/duration.ts";
import { VERSION } from "../lib/version.ts";
import { CLOSE, toCloseCode } from "../protocol/close.ts";
import { type ClientMessage, type From, isSendable, type ServerFrame } from "../protocol/control.ts";
import { decodeData } from "../protocol/data.ts";
import { AppError, type ErrorBody, fromErrorBody } from "../protocol/error.ts";
import { heartbeat } from "../protocol/heartbeat.ts";
import { PROTOCOL_VERSION, type Welcome } from "../protocol/hello.ts";
import type { HolderId, JobId, WriterId } from "../protocol/id.ts";
import { HEARTBEAT_PATIENCE, MAX_CONTROL_FRAME_BYTES } from "../protocol/limits.ts";
import { toValue } from "../protocol/value.ts";
import { Input } from "./input.ts";
import { Link, type Peer } from "./link.ts";
import { Output } from "./output.ts";

export interface SessionOptions {
  /** Milliseconds: the interval offered; the smaller of both sides' counts. */
  readonly heartbeat: number;
  /** Milliseconds within which the welcome must come. */
  readonly patience: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** The answer to a call that became a job. */
export interface Accepted {
  readonly job: JobId;
  readonly number: number;
}

/** A background call. */
export interface Start {
  readonly command: string;
  readonly input: unknown;
  readonly job: JobId;
}

type Call = Extract<ClientMessage, { readonly type: "call" }>;
type Answer = Extract<ServerFrame, { readonly type: "accepted" | "result" }>;

/**
 * What a client and a server share: calls that wait for their answers, and channels. It speaks as soon as it exists, and
 * calls may follow without waiting for the welcome. When it ends, everything in it ends with the one reason.
 */
export class Session implements AsyncDisposable {
  readonly #link: Link;
  readonly #calls = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #outputs = new Map<number, Output>();
  readonly #inputs = new Map<number, Input>();
  readonly #welcome = Promise.withResolvers<Welcome>();
  readonly #ended = new AbortController();
  #lastCall = 0;
  #lastChannel = 0;

  constructor(peer: Peer, { heartbeat, patience, now }: SessionOptions) {
    this.#link = new Link(peer, now);
    this.#welcome.promise.catch(() => {}); // whoever asks for it is told
    this.#link.say({
      type: "hello",
      version: PROTOCOL_VERSION,
      agent: { name: "farhand", version: VERSION },
      heartbeat,
      received: 0,
    });
    this.#beat(heartbeat);
    this.#expectWelcome(patience);
  }

  /** The server's greeting; rejects with the reason if the session ends before it. */
  get welcome(): Promise<Welcome> {
    return this.#welcome.promise;
  }

  /** Aborted when the session has ended; the reason is an `AppError`. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Calls a foreground command and answers its result. Rejects as the command fails, or with the signal's reason. */
  async call(command: string, input: unknown, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const { call, answer } = this.#ask({ command, input: toValue(input) });
    const cancel = () => {
      if (this.ended.aborted) return;
      this.#send({ type: "cancel", call });
      this.#settle(call)?.reject(signal?.reason);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const frame = await answer;
      if (frame.type === "result") return frame.result.value;
      throw new AppError("protocol_error", `Cannot accept the answer to "${command}": it started a job`);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Calls a background command whose job nobody waits for. Resolves when the job is accepted, running or not. */
  start(start: Start): Promise<Accepted> {
    return this.#start(start);
  }

  /** Calls a background command whose job waits for this reader, from its first packet on. */
  startHeld(
    start: Start,
    holder: HolderId,
  ): { readonly accepted: Promise<Accepted>; readonly output: Output } {
    const { channel, output } = this.#createOutput({ type: "since", number: 0 });
    const accepted = this.#start(start, { channel, holder, limit: output.takeFirstLimit() });
    accepted.catch((error: unknown) => output.failed(toAppError(error)));
    return { accepted, output };
  }

  /** Reads a job's output; with a holder, the job waits for this reader. */
  openOutput(job: JobId, from: From, holder?: HolderId): Output {
    const { channel, output } = this.#createOutput(from);
    const limit = output.takeFirstLimit();
    this.#send({ type: "open_output", channel, job, from, limit, ...(holder !== undefined && { holder }) });
    return output;
  }

  /** Opens a stream of input to a job. */
  openInput(job: JobId, writer: WriterId): Input {
    const channel = ++this.#lastChannel;
    const input = new Input(this.#link, channel, () => this.#inputs.delete(channel));
    this.#inputs.set(channel, input);
    this.#send({ type: "open_input", channel, job, writer });
    return input;
  }

  /** Takes a text frame from the peer. Never throws: what is wrong ends the session. */
  receiveText(text: string): void {
    this.#guard(() => {
      const frame = this.#link.receive(text);
      if (frame !== undefined) this.#take(frame);
    });
  }

  /** Takes a binary frame, whose bytes it keeps. Never throws. */
  receiveData(frame: Uint8Array): void {
    this.#guard(() => {
      const { channel, position, bytes } = decodeData(frame);
      this.#find(this.#outputs, channel)?.arrived(position, bytes);
    });
  }

  /** The peer's connection is gone. */
  disconnected(error: AppError): void {
    this.#end(error);
  }

  /** Says goodbye and ends the session. Jobs go on. Resolves at once: what was sent is on its way. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended.aborted) return;
    this.#link.say({ type: "goodbye" });
    this.#end(new AppError("connection_lost", "The connection is closed"), CLOSE.goodbye);
  }

  async #start({ command, input, job }: Start, output?: Call["output"]): Promise<Accepted> {
    const frame = await this.#ask({ command, input: toValue(input), job, ...(output && { output }) }).answer;
    if (frame.type === "accepted") return frame;
    throw new AppError("protocol_error", `Cannot accept the answer to "${command}": it started no job`);
  }

  #createOutput(from: From): { readonly channel: number; readonly output: Output } {
    const channel = ++this.#lastChannel;
    const output = new Output(this.#link, channel, from, () => this.#outputs.delete(channel));
    this.#outputs.set(channel, output);
    return { channel, output };
  }

  /** Throws `invalid_input` for a call that no frame has room for. The answer must be awaited: it may reject. */
  #ask(asked: Omit<Call, "type" | "call">): { call: number; answer: Promise<Answer> } {
    this.ended.throwIfAborted();
    const call = ++this.#lastCall;
    const message: Call = { type: "call", call, ...asked };
    if (!isSendable(message)) {
      throw new AppError(
        "invalid_input",
        `Cannot call "${asked.command}": the call takes more than ${MAX_CONTROL_FRAME_BYTES} bytes`,
      );
    }
    const pending = Promise.withResolvers<Answer>();
    this.#calls.set(call, pending);
    this.#send(message);
    return { call, answer: pending.promise };
  }

  #settle(call: number): PromiseWithResolvers<Answer> | undefined {
    const pending = this.#calls.get(call);
    this.#calls.delete(call);
    return pending;
  }

  #send(message: ClientMessage): void {
    this.ended.throwIfAborted();
    this.#link.send(message);
  }

  /** A channel that is open; undefined for one that was, whose last frames may still come. */
  #find<T>(channels: ReadonlyMap<number, T>, channel: number): T | undefined {
    if (channel > this.#lastChannel) {
      throw new AppError("protocol_error", `Cannot accept a frame: channel ${channel} was never opened`);
    }
    return channels.get(channel);
  }

  #take(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        return this.#greeted(frame);
      case "accepted":
      case "result":
        return this.#settle(frame.call)?.resolve(frame);
      case "failed":
        return this.#settle(frame.call)?.reject(fromErrorBody(frame.error));
      case "credit":
        return this.#find(this.#inputs, frame.channel)?.granted(frame);
      case "discard":
        return this.#find(this.#inputs, frame.channel)?.close();
      case "end":
        return this.#find(this.#outputs, frame.channel)?.ended(frame.position);
      case "broken":
        return this.#broken(frame.channel, fromErrorBody(frame.error));
      case "goodbye":
        return this.#end(toGoodbye(frame.error), CLOSE.goodbye);
      case "ack":
      case "beat":
    }
  }

  #greeted(welcome: Welcome): void {
    if (welcome.version.major !== PROTOCOL_VERSION.major) {
      throw new AppError(
        "unsupported_version",
        `Cannot talk to this server: it speaks version ${welcome.version.major} of the protocol, ` +
          `this client version ${PROTOCOL_VERSION.major}`,
      );
    }
    this.#welcome.resolve(welcome);
  }

  /** Ends the session if no welcome comes. The peer was reached, so it is no more than silent. */
  #expectWelcome(patience: number): void {
    const late = () =>
      this.#end(new AppError("timed_out", `Cannot connect: no welcome within ${formatDuration(patience)}`));
    const alarm = after(patience, late);
    const cancel = () => alarm[Symbol.dispose]();
    this.#welcome.promise.then(cancel, cancel);
  }

  #broken(channel: number, error: AppError): void {
    this.#find(this.#inputs, channel)?.close();
    this.#find(this.#outputs, channel)?.failed(error);
  }

  /** The interval offered until the welcome settles it, and that one from then on. Ends with the session. */
  async #beat(offered: number): Promise<void> {
    const line = {
      beat: () => this.#link.say({ type: "beat" }),
      idle: () => this.#link.idle,
      silence: () => this.#link.silence,
    };
    const settled = new AbortController();
    this.#welcome.promise.then(
      () => settled.abort(),
      () => {},
    );
    const beat = (every: number, signal: AbortSignal) =>
      heartbeat(line, { every, patience: HEARTBEAT_PATIENCE, signal });
    try {
      await beat(offered, AbortSignal.any([this.ended, settled.signal])).catch((error: unknown) => {
        if (!settled.signal.aborted) throw error;
      });
      await beat((await this.welcome).heartbeat, this.ended);
    } catch (error) {
      this.#end(error);
    }
  }

  #guard(take: () => void): void {
    if (this.ended.aborted) return;
    this.#link.heard();
    try {
      take();
    } catch (error) {
      this.#end(error);
    }
  }

  /** The first reason counts. */
  #end(reason: unknown, code?: number): void {
    if (this.ended.aborted) return;
    const error = toAppError(reason);
    this.#ended.abort(error);
    this.#link.close(code ?? toCloseCode(error.code), `${error.code}: ${error.message}`.slice(0, 120));
    this.#welcome.reject(error);
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    for (const output of this.#outputs.values()) output.failed(error);
    for (const input of this.#inputs.values()) input.close();
  }
}

/** What a server says of itself when it ends a session. */
function toGoodbye(error: ErrorBody | undefined): AppError {
  return error === undefined
    ? new AppError("connection_lost", "Connection lost: the server ended the session")
    : fromErrorBody(error);
}

function toAppError(error: unknown): AppError {
  return error instanceof AppError
    ? error
    : new AppError("internal", "The client failed unexpectedly", { cause: error });
}
