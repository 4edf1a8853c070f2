import { abortable } from "../lib/abort.ts";
import { VERSION } from "../lib/version.ts";
import type { Beat, ClientMessage, From, ServerFrame } from "../protocol/control.ts";
import { decodeData } from "../protocol/data.ts";
import { AppError, type ErrorBody, fromErrorBody } from "../protocol/error.ts";
import {
  CUSTOM_SINCE,
  type Hello,
  PROTOCOL_VERSION,
  STREAMS_SINCE,
  type Welcome,
} from "../protocol/hello.ts";
import type { HolderId, JobId, WriterId } from "../protocol/id.ts";
import { MAX_HEARTBEAT_INTERVAL } from "../protocol/limits.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import { fromValue, toJsonValue, type Value } from "../protocol/value.ts";
import { DEFAULT_WORKSPACE, WORKSPACES_SINCE } from "../protocol/workspace.ts";
import { Attachment, toAppError } from "./attachment.ts";
import { type Answer, Calls } from "./calls.ts";
import { Channels } from "./channels.ts";
import type { Input } from "./input.ts";
import { Link } from "./link.ts";
import type { Output } from "./output.ts";
import { Recovery, toFinalLoss } from "./recovery.ts";
import { isPassing } from "./retry.ts";
import type { Transport } from "./transport.ts";
import type { Workspace } from "./workspace.ts";

const FROM_START: From = { type: "since", number: 0 };

export interface SessionOptions {
  /** Milliseconds: the interval offered; the smaller of both sides' counts. */
  readonly heartbeat: number;
  /** Milliseconds within which the welcome must come. */
  readonly patience: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Where it is neither `default` nor this session's own, calls wait for the welcome: an older server runs them elsewhere. */
  readonly workspace?: Workspace | undefined;
}

/** How a connection that was lost is restored. */
export interface Reconnect {
  /** Milliseconds for which it is tried. */
  readonly window: number;
  /** Opens the next connection, within so many milliseconds. */
  readonly open: (ms: number, signal: AbortSignal) => Promise<Transport>;
}

/** Whether a session can speak to its server at the moment. */
export type ConnectionState =
  | { readonly state: "connected" }
  /** `since`: the time of the session's clock at which the connection was lost, in milliseconds. */
  | { readonly state: "reconnecting"; readonly since: number; readonly reason: AppError }
  | { readonly state: "closed"; readonly reason: AppError };

/** The answer to a call that became a job. */
export interface Accepted {
  readonly job: JobId;
  readonly number: number;
}

/** How a foreground command is called. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether a server that does not know of the call may be asked again, as long as it has said nothing. */
  readonly isIdempotent?: boolean;
  /** Whether what it says on the way is read. */
  readonly says?: boolean;
  /** Whether it is sent bytes. */
  readonly takes?: boolean;
  /** How its input is said: by default as JSON, as those of all commands are that are built in. */
  readonly encode?: Encode;
}

/** `toValue` for a command of somebody's own, which may be given what JSON has not. */
type Encode = (input: unknown) => Value;

/** A foreground call under way. */
export interface OpenCall {
  readonly answer: Promise<unknown>;
  /** What it says on the way, if that is read. */
  readonly output: Output | undefined;
  /** The bytes that it takes, if it is sent any. */
  readonly input: Input | undefined;
}

/** A background call. */
export interface Start {
  readonly command: string;
  readonly input: unknown;
  readonly job: JobId;
  readonly encode?: Encode;
  /** On what terms it runs, of a command whose input has no place for them. */
  readonly terms?: unknown;
}

/**
 * What a client and a server share: calls that wait for their answers, and channels. It speaks as soon as it exists, and
 * calls may follow without waiting for the welcome. It survives its connections; when it ends, everything in it ends with
 * the one reason.
 */
export class Session implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #link = new Link();
  readonly #calls: Calls;
  readonly #channels = new Channels(this.#link, () => this.#recovery.progressed());
  readonly #firstWelcome = Promise.withResolvers<Welcome>();
  readonly #ended = new AbortController();
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  #attachment: Attachment;
  readonly #recovery: Recovery;
  #state: ConnectionState = { state: "connected" };
  #reconnect: Reconnect | undefined;
  /** The last greeting: what proves to the server that this session is ours. */
  #welcome: Welcome | undefined;

  constructor(transport: Transport, options: SessionOptions) {
    this.#options = options;
    this.#recovery = new Recovery(options.now);
    this.#calls = new Calls((message) => this.#send(message));
    this.#firstWelcome.promise.catch(() => {}); // whoever asks for it is told
    this.#attachment = this.#attach(transport, (error) => this.#lose(error));
    this.#link.open(this.#attachment);
    this.#attachment.start();
  }

  /** The server's first greeting; rejects with the reason if the session ends before it. */
  get welcome(): Promise<Welcome> {
    return this.#firstWelcome.promise;
  }

  /** Aborted when the session has ended; the reason is an `AppError`. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Calls `listener` with each new state, until disposed. */
  onState(listener: (state: ConnectionState) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Survives the loss of its connection from now on, as far as this goes. */
  persist(reconnect: Reconnect): void {
    this.#reconnect = reconnect;
  }

  /** Resolves once the server has received everything that was sent. */
  delivered(): Promise<void> {
    return abortable(this.#link.delivered(), this.ended);
  }

  /**
   * Calls a foreground command and answers its result. Rejects as the command fails, with the signal's reason, or with
   * `outcome_unknown` when the server was restarted meanwhile and the call may not be repeated.
   */
  async call(
    command: string,
    input: unknown,
    options: Omit<CallOptions, "says" | "takes"> = {},
  ): Promise<unknown> {
    return await this.open(command, input, options).answer;
  }

  /**
   * Calls a foreground command that says something on the way, or takes bytes. Its answer settles as that of `call` does,
   * whether or not all that it said is read by then; what it said before it failed can be read.
   */
  open(command: string, input: unknown, options: CallOptions): OpenCall {
    const { signal, isIdempotent = false, says = false, takes = false, encode = toJsonValue } = options;
    signal?.throwIfAborted();
    this.ended.throwIfAborted();
    const source = { type: "call", call: this.#calls.next } as const;
    const output = says ? this.#channels.createOutput(source, FROM_START, signal) : undefined;
    const asked = this.#askForeground(command, () => encode(input), { isIdempotent, output });
    const call: OpenCall = {
      output,
      input: takes ? this.#channels.createInput() : undefined,
      answer: this.#answer(command, asked, signal, output),
    };
    if (call.input !== undefined && this.#mayStream) this.#channels.openInput(call.input, source);
    call.answer.catch(() => call.input?.close()); // whoever asks for the answer is told
    return call;
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
    const output = this.#channels.createOutput({ type: "job", job: start.job, holder }, FROM_START);
    const accepted = this.#start(start, { output, holder });
    accepted.catch((error: unknown) => output.failed(toAppError(error)));
    return { accepted, output };
  }

  /**
   * Reads a job's output; with a holder, the job waits for this reader. Throws `unsupported_version` where it is to begin at a value
   * and the server counts none.
   */
  openOutput(job: JobId, from: From, holder?: HolderId): Output {
    this.ended.throwIfAborted();
    const minor = this.#welcome?.version.minor ?? CUSTOM_SINCE;
    if (from.unit === "values" && minor < CUSTOM_SINCE)
      throw new AppError("unsupported_version", "Cannot count values: this server is too old to know them");
    const output = this.#channels.createOutput({ type: "job", job, holder }, from);
    output.reopen();
    return output;
  }

  /** Opens a stream of input to a job. */
  openInput(job: JobId, writer: WriterId): Input {
    this.ended.throwIfAborted();
    const input = this.#channels.createInput();
    this.#channels.openInput(input, { type: "job", job, writer });
    return input;
  }

  /** The terminal of a job has this size from now on; the last to say so counts. */
  resize(job: JobId, { columns, rows }: TerminalSize): void {
    this.#send({ type: "resize", job, columns, rows });
  }

  /** Opens the stdin of a job whose id only the answer to its call tells; as a stream of its own, if that is named. */
  openStdin(accepted: Promise<Accepted>, writer?: WriterId): Input {
    const input = this.#channels.createInput();
    accepted.then(
      ({ job }) => this.#channels.openInput(input, { ...toStdin(job), ...(writer && { writer }) }),
      () => input.close(),
    );
    return input;
  }

  /** Says goodbye and ends the session. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended.aborted) return;
    this.#attachment.leave();
    this.#end(new AppError("cancelled", "The connection is closed"));
  }

  async #start(
    { command, input, job, terms, encode = toJsonValue }: Start,
    held?: { output: Output; holder: HolderId },
  ): Promise<Accepted> {
    const first = held && {
      channel: held.output.channel,
      holder: held.holder,
      limit: held.output.takeFirstLimit(),
    };
    const asked = { command, input: encode(input), job, ...(terms !== undefined && { terms }) };
    const call = { ...asked, ...(first && { output: first }) };
    const frame = await this.#ask(call, true, held?.output).answer;
    if (frame.type === "accepted") return frame;
    throw new AppError("protocol_error", `Cannot accept the answer to "${command}": it started no job`);
  }

  #askForeground(
    command: string,
    toInput: () => Value,
    { isIdempotent, output }: { isIdempotent: boolean; output: Output | undefined },
  ): ReturnType<Calls["ask"]> {
    const events = output && { channel: output.channel, limit: output.takeFirstLimit() };
    try {
      return this.#ask({ command, input: toInput(), ...(events && { events }) }, isIdempotent, output);
    } catch (error) {
      output?.failed(toAppError(error));
      throw error;
    }
  }

  async #answer(
    command: string,
    { call, answer }: ReturnType<Calls["ask"]>,
    signal: AbortSignal | undefined,
    output?: Output,
  ): Promise<unknown> {
    const cancel = () => {
      if (this.ended.aborted) return;
      this.#send({ type: "cancel", call });
      this.#calls.fail(call, signal?.reason);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const frame = await answer;
      if (frame.type !== "result")
        throw new AppError("protocol_error", `Cannot accept the answer to "${command}": it started a job`);
      const { result } = frame;
      if (result.encoding !== "parts") return fromValue(result);
      if (output !== undefined) return await output.readParts(result.first);
      throw new AppError("protocol_error", `Cannot accept the answer to "${command}": nothing of it is read`);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Throws `invalid_input` for a call that no frame has room for. The answer must be awaited: it may reject. */
  #ask(...[call, ...rest]: Parameters<Calls["ask"]>): ReturnType<Calls["ask"]> {
    this.ended.throwIfAborted();
    const workspace = this.#options.workspace?.name ?? DEFAULT_WORKSPACE;
    return this.#calls.ask({ ...call, ...(workspace !== DEFAULT_WORKSPACE && { workspace }) }, ...rest);
  }

  #send(message: ClientMessage): void {
    this.ended.throwIfAborted();
    this.#link.send(message);
  }

  #attach(
    transport: Transport,
    onLost: (error: AppError) => void,
    ms = Number.POSITIVE_INFINITY,
  ): Attachment {
    const { heartbeat, patience, now } = this.#options;
    const attachment: Attachment = new Attachment(transport, {
      hello: this.#toHello(Math.min(heartbeat * this.#recovery.slowness, MAX_HEARTBEAT_INTERVAL)),
      patience: Math.min(patience, ms),
      now,
      toBeat: () => this.#toBeat(),
      onText: (text) => this.#hear(text, attachment),
      onData: (frame) => this.#channels.receive(decodeData(frame)),
      onLost,
    });
    return attachment;
  }

  #toHello(heartbeat: number): Hello {
    const [known, { workspace }] = [this.#welcome, this.#options];
    // An older server knows no sessions that outlive their connections.
    const resume =
      known === undefined || known.version.minor < 1
        ? undefined
        : { session: known.session, generation: known.generation, token: known.resume };
    return {
      type: "hello",
      version: PROTOCOL_VERSION,
      agent: { name: "farhand", version: VERSION },
      heartbeat,
      received: resume === undefined ? 0 : this.#link.received,
      ...(resume && { resume }),
      ...(workspace?.isOwn === true && { workspace: workspace.name }),
    };
  }

  #hear(text: string, attachment: Attachment): void {
    const frame = this.#link.receive(text);
    if (frame === undefined) return;
    if (frame.type === "welcome") this.#greeted(frame, attachment);
    else this.#take(frame, attachment);
  }

  #take(frame: Exclude<ServerFrame, { type: "welcome" }>, attachment: Attachment): void {
    switch (frame.type) {
      case "accepted":
        return this.#accepted(frame);
      case "result":
        this.#recovery.progressed();
        return this.#calls.settle(frame)?.answered(frame.packets);
      case "failed":
        return this.#failed(frame);
      case "credit":
      case "discard":
      case "end":
      case "broken":
        return this.#channels.take(frame);
      case "goodbye":
        return attachment.lose(toGoodbye(frame.error));
      case "beat":
        return this.#compare(frame);
      case "ack":
    }
  }

  /** A call whose job exists. If its channel was lost with an earlier connection, its output is read on from here. */
  #accepted(frame: Answer & { readonly type: "accepted" }): void {
    this.#recovery.progressed();
    const output = this.#calls.settle(frame);
    output?.isOf(frame.job);
    if (output?.isLost) this.#channels.reopen(output);
  }

  /** What a call has said before it failed can be read on, unless the server knows nothing of such a channel. */
  #failed({ call, packets, error: body }: Extract<ServerFrame, { readonly type: "failed" }>): void {
    this.#recovery.progressed();
    const error = fromErrorBody(body);
    const output = this.#calls.fail(call, error);
    output?.answered(packets);
    if (output?.isOfCall === true && !this.#mayStream) output.failed(error);
  }

  /** Whether the server is not known to be too old for calls that say or take something on the way. */
  get #mayStream(): boolean {
    return this.#welcome === undefined || this.#welcome.version.minor >= STREAMS_SINCE;
  }

  /** What we have sent. What we have taken is said again too, in case that was lost. */
  #toBeat(): Beat {
    this.#channels.repeatCredit();
    const positions = this.#channels.positions();
    return { type: "beat", sent: this.#link.sent, ...(positions.length > 0 && { positions }) };
  }

  /** Throws `sequence_gap` when the server has sent what never came. */
  #compare({ positions = [] }: Beat): void {
    for (const [channel, position] of positions) this.#channels.expect(channel, position);
  }

  /** The first greeting, one that came twice, or that of a new connection: of this session, or of another. */
  #greeted(welcome: Welcome, attachment: Attachment): void {
    const before = this.#welcome;
    checkWorkspace(welcome, before, this.#options.workspace);
    attachment.greeted(welcome);
    if (before?.session === welcome.session && before.generation === welcome.generation) return;
    this.#welcome = welcome;
    this.#firstWelcome.resolve(welcome);
    if (attachment === this.#attachment) return;
    this.#attachment = attachment;
    this.#recovery.attached();
    if (before?.session === welcome.session) this.#resume(welcome);
    else this.#startOver(before !== undefined && before.boot !== welcome.boot);
    this.#setState({ state: "connected" });
  }

  /** Goes on with the session: what the last connection lost is sent again, and channels go on where they were. */
  #resume({ received }: Welcome): void {
    const pending = this.#calls.outputs("jobs");
    const opened = this.#link.resume(this.#attachment, received);
    this.#channels.reopenAll(pending, opened);
  }

  /** The session is gone, with the server that had it or by its age: everything is asked for again that may be. */
  #startOver(isRebooted: boolean): void {
    const unsent = new Set(this.#link.open(this.#attachment));
    const pending = this.#calls.outputs("all");
    for (const output of pending) if (!output.hasBegun) this.#channels.renumber(output);
    this.#channels.failCalls(pending);
    this.#calls.repeat(unsent, isRebooted);
    this.#channels.reopenAll(pending, new Set());
  }

  #lose(error: AppError): void {
    if (this.ended.aborted) return;
    this.#link.lose();
    this.#channels.suspend();
    this.#recovery.lost(error);
    const reconnect = this.#reconnect;
    if (reconnect === undefined || reconnect.window === 0 || !isPassing(error)) return this.#end(error);
    this.#setState({ state: "reconnecting", since: this.#options.now(), reason: error });
    this.#startRestoring(reconnect, error);
  }

  /** Runs by itself until there is a connection again, or ends the session. */
  #startRestoring(reconnect: Reconnect, reason: AppError): void {
    const { window } = reconnect;
    const restored = this.#recovery.restore((ms) => this.#restore(reconnect, ms), {
      window,
      signal: this.ended,
    });
    restored.catch((error: unknown) => {
      if (this.ended.aborted) return;
      this.#end(toFinalLoss(reason, error, window));
    });
  }

  /** One attempt to have a connection that is welcomed, within so many milliseconds. */
  async #restore({ open }: Reconnect, ms: number): Promise<void> {
    const transport = await open(ms, this.ended);
    // Until it is welcomed, its loss is this attempt's failure; then it is the session's.
    const onLost = (error: AppError) => {
      if (attachment === this.#attachment) this.#lose(error);
    };
    const attachment: Attachment = this.#attach(transport, onLost, ms);
    attachment.start();
    const stop = () => attachment.lose(this.ended.reason);
    if (this.ended.aborted) stop();
    this.ended.addEventListener("abort", stop, { once: true });
    await attachment.welcome.finally(() => this.ended.removeEventListener("abort", stop));
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  /** The first reason counts. */
  #end(reason: unknown): void {
    if (this.ended.aborted) return;
    const error = toAppError(reason);
    this.#ended.abort(error);
    this.#attachment.lose(error);
    this.#link[Symbol.dispose]();
    this.#firstWelcome.reject(error);
    this.#calls.failAll(error);
    this.#channels.failAll(error);
    this.#setState({ state: "closed", reason: error });
  }
}

/** The stdin that a job was started with: the job's own id names the writer. */
export function toStdin(job: JobId) {
  return { type: "job", job, writer: job as string as WriterId } as const;
}

/**
 * A server that knows no workspaces would silently run everything in the home. That is where a session's own one is too, as
 * long as it was never with a server that let it be changed. Throws `unsupported_version`.
 */
function checkWorkspace({ version }: Welcome, before: Welcome | undefined, workspace?: Workspace): void {
  if (workspace === undefined || workspace.name === DEFAULT_WORKSPACE) return;
  const isUnchanged = workspace.isOwn && (before?.version.minor ?? 0) < WORKSPACES_SINCE;
  if (version.major !== PROTOCOL_VERSION.major || version.minor >= WORKSPACES_SINCE || isUnchanged) return;
  throw new AppError(
    "unsupported_version",
    `Cannot use workspace "${workspace.name}": this server is too old to know workspaces; upgrade it, or name none`,
  );
}

/** What a server says of itself when it ends a connection. */
function toGoodbye(error: ErrorBody | undefined): AppError {
  return error === undefined
    ? new AppError("connection_lost", "Connection lost: the server ended the session")
    : fromErrorBody(error);
}
