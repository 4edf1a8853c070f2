import * as v from "valibot";
import { findCommand } from "../commands/index.ts";
import type { CommandContext } from "../commands/define.ts";
import { after } from "../lib/abort.ts";
import { describeError, type Log } from "../lib/log.ts";
import {
  type ClientFrame,
  decodeControl,
  ClientFrame as ClientFrameSchema,
  isSendable,
  type ServerFrame,
  type ServerMessage,
} from "../protocol/control.ts";
import { CLOSE, toCloseCode } from "../protocol/close.ts";
import { DATA_HEADER_BYTES, decodeData, writeDataHeader } from "../protocol/data.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import { Flight } from "../protocol/flight.ts";
import { heartbeat } from "../protocol/heartbeat.ts";
import { type Hello, PROTOCOL_VERSION } from "../protocol/hello.ts";
import { type JobId, SessionId } from "../protocol/id.ts";
import {
  ACK_DELAY,
  ACK_EVERY_FRAMES,
  CONTROL_WINDOW_FRAMES,
  HEARTBEAT_INTERVAL,
  HEARTBEAT_PATIENCE,
  HELLO_TIMEOUT,
  HOLD_GRACE,
  MAX_CALLS,
  MAX_CHANNELS,
  MAX_CONTROL_FRAME_BYTES,
  MAX_DATA_BYTES,
  MIN_HEARTBEAT_INTERVAL,
} from "../protocol/limits.ts";
import { Inbox, Outbox } from "../protocol/reliable.ts";
import { toValue } from "../protocol/value.ts";
import { InputChannel } from "./input-channel.ts";
import type { Job } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import { OutputChannel } from "./output-channel.ts";
import { createToken } from "./auth.ts";

/** Bytes that may wait in the connection before no more output is put behind them. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** Messages that may wait for the window: an answer for each call, an end and a discard for each channel. */
const MAX_WAITING = MAX_CALLS + 2 * MAX_CHANNELS;
/** Bytes of messages that may be unacknowledged, sent or waiting: the least that has room for many of the largest. */
const MAX_UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024;
/** Frames of output sent before what has arrived is looked at. */
const FRAMES_PER_TURN = 4;

/** The far end of a connection. */
export interface Peer {
  sendText(text: string): void;
  sendBytes(bytes: Uint8Array): void;
  /** Bytes that the connection has not sent yet. */
  queued(): number;
  close(code: number, reason: string): void;
}

export interface SessionOptions {
  readonly owner: string;
  readonly jobs: Jobs;
  readonly state: string;
  readonly version: string;
  readonly boot: string;
  readonly log: Log;
  readonly toContext: (owner: string, signal: AbortSignal) => CommandContext;
}

type Call = Extract<ClientFrame, { type: "call" }>;
type OpenOutput = Extract<ClientFrame, { type: "open_output" }>;
type Channel = OutputChannel | InputChannel;

/** One client and its calls, channels and holds, over one connection. */
export class Session {
  readonly #peer: Peer;
  readonly #options: SessionOptions;
  readonly #controller = new AbortController();
  readonly #inbox = new Inbox();
  readonly #outbox = new Outbox<ServerMessage>();
  /** Messages that wait for room in the window. */
  readonly #waiting: ServerMessage[] = [];
  /** Bytes of each message that is not acknowledged, sent or waiting, oldest first. */
  readonly #sizes: number[] = [];
  /** Bytes of all of them. */
  #unacknowledged = 0;
  readonly #calls = new Map<number, AbortController>();
  readonly #channels = new Map<number, Channel>();
  readonly #flight = new Flight();
  /** Where data frames are put together; most sessions never need it. */
  #frame: Uint8Array | undefined;
  readonly #helloTimer: Disposable;
  #greeted = false;
  #lastChannel = 0;
  #lastCall = 0;
  #heard = performance.now();
  #spoke = performance.now();
  #ackTimer: Disposable | undefined;
  #pumping = false;

  constructor(peer: Peer, options: SessionOptions) {
    this.#peer = peer;
    this.#options = options;
    this.#helloTimer = after(HELLO_TIMEOUT, () =>
      this.#fail(new AppError("timed_out", `No hello came within ${HELLO_TIMEOUT} ms`)),
    );
  }

  receiveText(text: string): void {
    this.#guard(() => this.#take(decodeControl(ClientFrameSchema, text)));
  }

  receiveBytes(bytes: Uint8Array): void {
    this.#guard(() => {
      this.#expectGreeted();
      const { channel: id, position, bytes: payload } = decodeData(bytes);
      const channel = this.#channels.get(id);
      if (channel instanceof InputChannel) return channel.receive(position, payload);
      // Bytes may be under way to a channel that has just been closed; only a number never opened is a mistake.
      if (channel !== undefined || id > this.#lastChannel) {
        throw new AppError("protocol_error", `Cannot accept data: channel ${id} takes none`);
      }
    });
  }

  /** The connection has room again. */
  drain(): void {
    this.#startPumping();
  }

  /** The connection has ended; `onPurpose` if the client said so. */
  disconnect(onPurpose: boolean): void {
    if (this.#controller.signal.aborted) return;
    this.#end(onPurpose, new AppError("connection_lost", "The client is gone"));
  }

  /** Says goodbye and closes. The client's holds wait for it to come back. */
  close(error: AppError): void {
    this.#fail(error);
  }

  #guard(handle: () => void): void {
    if (this.#controller.signal.aborted) return;
    this.#heard = performance.now();
    try {
      handle();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends the connection for a reason that the client is told. */
  #fail(error: unknown): void {
    if (this.#controller.signal.aborted) return;
    const { log, owner } = this.#options;
    const body = toErrorBody(error);
    if (error instanceof AppError)
      log.info("session closed", { owner, code: body.code, message: body.message });
    else log.error("session failed", { owner, error: describeError(error) });
    this.#sendFrame({ type: "goodbye", error: body });
    // A close frame's reason has room for 123 bytes.
    this.#peer.close(toCloseCode(body.code), `${body.code}: ${body.message}`.slice(0, 120));
    this.#end(false, error instanceof AppError ? error : new AppError("internal", body.message));
  }

  #end(onPurpose: boolean, reason: AppError): void {
    this.#controller.abort(reason);
    this.#helloTimer[Symbol.dispose]();
    this.#ackTimer?.[Symbol.dispose]();
    for (const call of this.#calls.values()) call.abort(reason);
    for (const channel of this.#channels.values()) channel.close(onPurpose, performance.now());
    this.#calls.clear();
    this.#channels.clear();
  }

  #take(frame: ClientFrame): void {
    if (frame.type === "hello") return this.#greet(frame);
    this.#expectGreeted();
    if ("seq" in frame) {
      if (frame.ack !== undefined) this.#acknowledged(frame.ack);
      if (!this.#inbox.accept(frame.seq)) return;
      this.#oweAck();
    }
    this.#obey(frame);
  }

  #obey(frame: Exclude<ClientFrame, { type: "hello" }>): void {
    switch (frame.type) {
      case "call":
        return this.#call(frame);
      case "cancel":
        return this.#calls.get(frame.call)?.abort(new AppError("cancelled", "The caller cancelled"));
      case "open_output":
        return this.#openOutput(frame);
      case "open_input":
        return this.#openInput(frame);
      case "close":
        return this.#closeChannel(frame.channel);
      case "end":
        return this.#find(frame.channel, InputChannel)?.end(frame.position);
      case "discard":
        return this.#find(frame.channel, OutputChannel)?.discard(frame.stream);
      case "credit":
        this.#find(frame.channel, OutputChannel)?.grant(frame, performance.now());
        return this.#startPumping();
      case "ack":
        return this.#acknowledged(frame.ack);
      case "beat":
        return;
      case "goodbye":
        this.#peer.close(CLOSE.goodbye, "goodbye");
        return this.#end(true, new AppError("connection_lost", "The client said goodbye"));
    }
  }

  #expectGreeted(): void {
    if (!this.#greeted)
      throw new AppError("protocol_error", "Cannot accept a frame: the first one must be a hello");
  }

  #greet({ version, heartbeat: offered, resume, agent }: Hello): void {
    if (this.#greeted) throw new AppError("protocol_error", "Cannot accept a second hello");
    if (version.major !== PROTOCOL_VERSION.major) {
      throw new AppError(
        "unsupported_version",
        `Cannot speak version ${version.major}: this server speaks ${PROTOCOL_VERSION.major}`,
      );
    }
    if (resume !== undefined) {
      throw new AppError(
        "unsupported_version",
        "Cannot resume a session: this server keeps none without a connection; open a new one",
      );
    }
    this.#greeted = true;
    this.#helloTimer[Symbol.dispose]();
    const every = Math.max(MIN_HEARTBEAT_INTERVAL, Math.min(offered, HEARTBEAT_INTERVAL));
    this.#sendFrame({
      type: "welcome",
      version: PROTOCOL_VERSION,
      agent: { name: "farhandd", version: this.#options.version },
      session: v.parse(SessionId, crypto.randomUUID()),
      generation: 1,
      resume: createToken(),
      received: 0,
      heartbeat: every,
      grace: HOLD_GRACE,
      boot: this.#options.boot,
      limits: {
        controlFrameBytes: MAX_CONTROL_FRAME_BYTES,
        dataFrameBytes: MAX_DATA_BYTES,
        controlWindowFrames: CONTROL_WINDOW_FRAMES,
      },
    });
    this.#options.log.debug("session opened", {
      owner: this.#options.owner,
      agent: agent.name,
      version: agent.version,
    });
    this.#startHeartbeat(every);
  }

  /** Runs by itself until the session ends, or ends it. */
  #startHeartbeat(every: number): void {
    const { signal } = this.#controller;
    const line = {
      beat: () => this.#sendFrame({ type: "beat" }),
      silence: () => performance.now() - this.#heard,
      idle: () => performance.now() - this.#spoke,
    };
    heartbeat(line, { every, patience: HEARTBEAT_PATIENCE, signal }).catch((error) => this.#fail(error));
  }

  #call(frame: Call): void {
    if (frame.call <= this.#lastCall)
      throw new AppError("protocol_error", `Cannot accept call ${frame.call}: its id was used`);
    if (this.#calls.size >= MAX_CALLS)
      throw new AppError("too_many", `Cannot accept more than ${MAX_CALLS} calls at once`);
    this.#lastCall = frame.call;
    const call = new AbortController();
    this.#calls.set(frame.call, call);
    const { owner, toContext } = this.#options;
    const { job, output } = frame;
    const answer = this.#invoke(frame, toContext(owner, call.signal));
    // The job is known as one that is being started by now, or never will be.
    if (output !== undefined && job !== undefined)
      this.#openOutput({ ...output, job, from: { type: "since", number: 0 } });
    answer
      .catch((error: unknown): ServerMessage => this.#toFailure(frame, error))
      .then((answer) => {
        if (this.#calls.delete(frame.call)) this.#answer(frame, answer);
      });
  }

  async #invoke(
    { call, command: name, input, job, output }: Call,
    context: CommandContext,
  ): Promise<ServerMessage> {
    const command = findCommand(name);
    if (command === undefined)
      throw new AppError("unknown_command", `Cannot call "${name}": this server has no such command`);
    if (command.kind === "foreground") {
      const parsed = parseInput(command.name, command.input, input.value);
      // The one place where a command's types are not known: its own schema has just checked the input.
      const result = await (command.run as (input: unknown, context: CommandContext) => Promise<unknown>)(
        parsed,
        context,
      );
      return { type: "result", call, result: toValue(result) };
    }
    if (job === undefined)
      throw new AppError("invalid_input", `Cannot call "${name}": the call carries no job id`);
    const program = command.toProgram(parseInput(command.name, command.input, input.value), context);
    const { jobs, owner } = this.#options;
    const { start } = await jobs.start({
      job,
      holder: output?.holder,
      command: command.name,
      owner,
      program,
    });
    return { type: "accepted", call, job, number: start.number };
  }

  /** What the client would close the connection on is refused here instead. */
  #answer(frame: Call, answer: ServerMessage): void {
    if (isSendable(answer)) return this.#send(answer);
    const what = `the answer takes more than ${MAX_CONTROL_FRAME_BYTES} bytes; ask for less`;
    this.#send(this.#toFailure(frame, new AppError("too_many", `Cannot answer "${frame.command}": ${what}`)));
  }

  #toFailure({ call, command }: Call, error: unknown): ServerMessage {
    if (!(error instanceof AppError))
      this.#options.log.error("call failed", { command, error: describeError(error) });
    return { type: "failed", call, error: toErrorBody(error) };
  }

  #openOutput({ channel: id, job, from, holder, limit }: Omit<OpenOutput, "type" | "seq" | "ack">): void {
    this.#claimChannel(id);
    const channel = new OutputChannel({
      directory: `${this.#options.state}/ledgers/${job}`,
      from,
      holder,
      flight: this.#flight,
      onReady: () => this.#startPumping(),
    });
    channel.grant({ received: 0, limit }, performance.now());
    this.#channels.set(id, channel);
    this.#startAttaching(id, job, (found) => channel.attach(found));
  }

  #openInput({ channel: id, job, writer }: Extract<ClientFrame, { type: "open_input" }>): void {
    this.#claimChannel(id);
    const channel = new InputChannel({
      writer,
      onCredit: (counts) => this.#sendFrame({ type: "credit", channel: id, ...counts }),
      onDiscard: () => this.#send({ type: "discard", channel: id }),
      onBroken: (error) => this.#breakChannel(id, error),
    });
    this.#channels.set(id, channel);
    this.#startAttaching(id, job, (found) => {
      if (this.#channels.has(id)) channel.attach(found); // not if it was closed meanwhile
    });
  }

  #claimChannel(id: number): void {
    if (id <= this.#lastChannel)
      throw new AppError("protocol_error", `Cannot open channel ${id}: its number was used`);
    if (this.#channels.size >= MAX_CHANNELS)
      throw new AppError("too_many", `Cannot open more than ${MAX_CHANNELS} channels`);
    this.#lastChannel = id;
  }

  /** Runs by itself: the job may be one that is just being started. */
  #startAttaching(id: number, jobId: JobId, attach: (job: Job) => void): void {
    this.#options.jobs
      .findSoon(jobId)
      .then((job) => {
        if (job === undefined)
          throw new AppError("not_found", `Cannot open job ${jobId}: there is none of that id`);
        attach(job);
      })
      .catch((error: unknown) => this.#breakChannel(id, error));
  }

  #closeChannel(id: number): void {
    const channel = this.#channels.get(id);
    this.#channels.delete(id);
    channel?.close(true, performance.now());
  }

  #breakChannel(id: number, error: unknown): void {
    if (!this.#channels.has(id)) return;
    if (!(error instanceof AppError))
      this.#options.log.error("channel failed", { error: describeError(error) });
    this.#closeChannel(id);
    this.#send({ type: "broken", channel: id, error: toErrorBody(error) });
  }

  #find<C extends Channel>(id: number, kind: abstract new (...args: never[]) => C): C | undefined {
    const channel = this.#channels.get(id);
    if (channel === undefined && id <= this.#lastChannel) return undefined; // closed meanwhile
    if (channel instanceof kind) return channel;
    throw new AppError("protocol_error", `Cannot accept a frame: channel ${id} is none of its kind`);
  }

  /** Runs by itself while there is output to send and room to send it. */
  #startPumping(): void {
    if (this.#pumping || this.#controller.signal.aborted) return;
    if (!this.#pump()) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      this.#startPumping();
    });
  }

  /** Sends from each channel in turn. Answers whether there is more to send at once. */
  #pump(): boolean {
    let sent = 0;
    for (let progress = true; progress;) {
      progress = false;
      for (const [id, channel] of this.#channels) {
        if (!(channel instanceof OutputChannel)) continue;
        if (this.#flight.room <= 0 || this.#peer.queued() > MAX_QUEUED_BYTES) return false;
        if (sent >= FRAMES_PER_TURN) return true;
        if (!this.#pumpOne(id, channel)) continue;
        progress = true;
        sent++;
      }
    }
    return false;
  }

  #pumpOne(id: number, channel: OutputChannel): boolean {
    try {
      const position = channel.position;
      const frame = (this.#frame ??= new Uint8Array(DATA_HEADER_BYTES + MAX_DATA_BYTES));
      const bytes = channel.read(frame.subarray(DATA_HEADER_BYTES), performance.now());
      if (bytes > 0) {
        writeDataHeader(frame, id, position);
        this.#spoke = performance.now();
        this.#peer.sendBytes(frame.subarray(0, DATA_HEADER_BYTES + bytes));
        return true;
      }
      if (!channel.isAtEnd) return false;
      // Its credit still comes in, so the channel stays until the client has acknowledged the end, or closes it.
      channel.finish();
      this.#send({ type: "end", channel: id, position });
    } catch (error) {
      this.#breakChannel(id, error);
    }
    return false;
  }

  /** Sends a sequenced message now, or as soon as the window has room. */
  #send(message: ServerMessage): void {
    if (this.#controller.signal.aborted) return;
    const bytes = JSON.stringify(message).length;
    this.#waiting.push(message);
    this.#sizes.push(bytes);
    this.#unacknowledged += bytes;
    this.#sendWaiting();
    if (this.#waiting.length <= MAX_WAITING && this.#unacknowledged <= MAX_UNACKNOWLEDGED_BYTES) return;
    // It acknowledges nothing but asks on: it is given up before what is kept for it grows without bound.
    const limits = `${MAX_WAITING} unacknowledged answers, or ${MAX_UNACKNOWLEDGED_BYTES} bytes of them`;
    this.#fail(new AppError("too_many", `Cannot keep more than ${limits}`));
  }

  #sendWaiting(): void {
    while (!this.#outbox.isFull && this.#waiting.length > 0) {
      const frame = this.#outbox.stamp(this.#waiting.shift() as ServerMessage);
      this.#ackTimer?.[Symbol.dispose]();
      this.#ackTimer = undefined;
      this.#sendFrame({ ...frame, ack: this.#inbox.takeAck() });
    }
  }

  #acknowledged(seq: number): void {
    const messages = this.#outbox.acknowledge(seq);
    for (const bytes of this.#sizes.splice(0, messages.length)) this.#unacknowledged -= bytes;
    for (const message of messages) if (message.type === "end") this.#closeChannel(message.channel);
    this.#sendWaiting();
  }

  #oweAck(): void {
    if (this.#inbox.owed >= ACK_EVERY_FRAMES) return this.#acknowledge();
    this.#ackTimer ??= after(ACK_DELAY, () => this.#acknowledge());
  }

  #acknowledge(): void {
    this.#ackTimer?.[Symbol.dispose]();
    this.#ackTimer = undefined;
    if (!this.#controller.signal.aborted && this.#inbox.owed > 0)
      this.#sendFrame({ type: "ack", ack: this.#inbox.takeAck() });
  }

  #sendFrame(frame: ServerFrame): void {
    this.#spoke = performance.now();
    this.#peer.sendText(JSON.stringify(frame));
  }
}

function parseInput<S extends v.GenericSchema>(command: string, schema: S, value: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const path = v.getDotPath(issue);
  throw new AppError(
    "invalid_input",
    `Cannot call "${command}": the input${path ? ` at "${path.slice(0, 200)}"` : ""}: ${issue.message.slice(0, 200)}`,
  );
}
