import { describeError, type Log } from "../../lib/log.ts";
import type { ClientFrame, ServerFrame, ServerMessage } from "../../protocol/control.ts";
import type { CreditCounts } from "../../protocol/credit.ts";
import { DATA_HEADER_BYTES, type DataFrame, writeDataHeader } from "../../protocol/data.ts";
import { AppError, toErrorBody } from "../../protocol/error.ts";
import { Flight } from "../../protocol/flight.ts";
import type { JobId } from "../../protocol/id.ts";
import { MAX_CALLS, MAX_CHANNELS, MAX_DATA_BYTES } from "../../protocol/limits.ts";
import type { Recorder } from "../audit/audit.ts";
import { demandFeeding, type Identity } from "../auth/identity.ts";
import type { Job } from "../jobs/job.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { CallInput } from "./call-input.ts";
import type { CallOutput } from "./call-output.ts";
import { EventChannel } from "./event-channel.ts";
import { InputChannel, toJobSink } from "./input-channel.ts";
import { OutputChannel } from "./output-channel.ts";
import { demandValues } from "./skew.ts";

/** Bytes that may wait in the connection before no more output is put behind them. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** Frames of output sent before what has arrived is looked at. */
const FRAMES_PER_TURN = 4;

/** What channels of a job count as. */
export const EXEC = { name: "exec", permission: "exec" } as const;
const SEND_INPUT = { name: "send-input", permission: "exec" } as const;
const RESULT = { name: "result", permission: "read" } as const;

/** Where channels write to: the session's connection, as long as it has one. */
export interface Line {
  readonly queued: number;
  sendBytes(bytes: Uint8Array): void;
  send(frame: ServerFrame): void;
}

export interface ChannelsOptions {
  readonly state: string;
  readonly identity: Identity;
  /** Takes down who reads and writes which job. */
  readonly recorder: Recorder;
  readonly jobs: Jobs;
  readonly log: Log;
  /** The minor version of the protocol that the client speaks. */
  readonly minor: () => number;
  /** The connection at the moment. */
  readonly line: () => Line | undefined;
  readonly send: (message: ServerMessage) => void;
  readonly calls: CallStreams;
}

/** What foreground calls say and take, as long as there is anything of it. */
export interface CallStreams {
  findOutput(call: number): CallOutput | undefined;
  findInput(call: number): CallInput | undefined;
  /** Nobody reads what a call says any more. */
  forgetOutput(call: number): void;
}

export type OpenOutput = Omit<Extract<ClientFrame, { type: "open_output" }>, "type" | "seq" | "ack">;
type OpenInput = Extract<ClientFrame, { type: "open_input" }>;
type OpenEvents = Omit<Extract<ClientFrame, { type: "open_events" }>, "type" | "seq" | "ack">;
type OpenCallInput = Extract<ClientFrame, { type: "open_call_input" }>;
type Sender = OutputChannel | EventChannel;
type Channel = Sender | InputChannel;

/** The channels of one session. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<number, Channel>();
  /** Those that may have something to send, in the order of their turns. All others wait for credit, or for something to send. */
  readonly #ready = new Set<number>();
  /** Jobs that this session has started lately. */
  readonly #own = new Set<JobId>();
  #flight = new Flight();
  /** Where data frames are put together; most sessions never need it. */
  #frame: Uint8Array | undefined;
  #last = 0;
  #pumping = false;

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  /** This session begins a job: its call tells already who reads and writes it. */
  own(job: JobId): void {
    this.#own.add(job);
    const [oldest] = this.#own;
    if (this.#own.size > MAX_CALLS && oldest !== undefined) this.#own.delete(oldest);
  }

  /** Throws `protocol_error` for a number that was used, `too_many`. */
  openOutput({ channel: id, job, from, holder, hold, limit }: OpenOutput): void {
    const { grants } = this.#options.identity;
    this.#dropReplaced(job, holder);
    this.#claim(id);
    const channel = new OutputChannel({
      state: this.#options.state,
      job,
      from,
      holder,
      hold,
      flight: this.#flight,
      onReady: () => this.#wake(id),
      onTaken: () =>
        this.#break(id, new AppError("session_replaced", "This hold is another session's by now")),
    });
    channel.grant({ received: 0, limit }, performance.now());
    this.#channels.set(id, channel);
    const demand = () =>
      // Whoever may run programs may read what they say; but a hold keeps a program waiting, and can close its pipes.
      holder === undefined
        ? grants.demandAny([RESULT, EXEC], `read job ${job}`)
        : grants.demandCommand(EXEC, `hold job ${job}`);
    this.#startAttaching(id, job, demand, (found) => {
      if (found.start.command !== EXEC.name) demandValues(this.#options.minor(), `read job ${job}`);
      this.#record("read", found);
      channel.attach(found);
    });
  }

  /** Throws as `openOutput` does. */
  openInput({ channel: id, job, writer }: OpenInput): void {
    const channel = this.#createInput(id);
    const demand = () => this.#options.identity.grants.demandAny([EXEC, SEND_INPUT], `write to job ${job}`);
    this.#startAttaching(id, job, demand, (found) => {
      demandFeeding(found.start, this.#options.identity);
      this.#record("write", found);
      // Not if it was closed meanwhile.
      if (this.#channels.get(id) === channel) channel.attach(toJobSink(found, writer));
    });
  }

  /** Of a call that is over, the channel breaks. Throws as `openOutput` does. */
  openEvents({ channel: id, call, since, limit }: OpenEvents): void {
    this.#claim(id);
    const { calls, send } = this.#options;
    const output = calls.findOutput(call);
    if (output === undefined) {
      const error = toErrorBody(new AppError("not_found", `Cannot read on: call ${call} says nothing more`));
      return send({ type: "broken", channel: id, error });
    }
    const channel = new EventChannel({
      output,
      since,
      flight: this.#flight,
      onReady: () => this.#wake(id),
      onDone: () => calls.forgetOutput(call),
    });
    channel.grant({ received: 0, limit }, performance.now());
    this.#channels.set(id, channel);
    this.#wake(id);
  }

  /** Throws as `openOutput` does. */
  openCallInput({ channel: id, call }: OpenCallInput): void {
    this.#createInput(id).attach(this.#options.calls.findInput(call));
  }

  close(id: number): void {
    const channel = this.#channels.get(id);
    this.#channels.delete(id);
    this.#ready.delete(id);
    channel?.close(true, performance.now());
    this.startPumping(); // what it had under way holds the others up no more
  }

  /** The client has heard of a channel's end. Over the next connection that means nothing to it: it asks on, or closes the channel. */
  settle(id: number): void {
    const channel = this.#channels.get(id);
    if (!(channel instanceof EventChannel && channel.isLost)) this.close(id);
  }

  receive({ channel: id, position, bytes }: DataFrame): void {
    const channel = this.#channels.get(id);
    if (channel instanceof InputChannel) return channel.receive(position, bytes);
    // Bytes may be under way to a channel that has just been closed; only a number never opened is a mistake.
    if (channel !== undefined || id > this.#last)
      throw new AppError("protocol_error", `Cannot accept data: channel ${id} takes none`);
  }

  end(id: number, position: number): void {
    this.#findInput(id)?.end(position);
  }

  discard(id: number, stream: "stdout" | "stderr" | undefined): void {
    this.#findSender(id)?.discard(stream);
  }

  grant(id: number, credit: CreditCounts & { readonly next?: number | undefined }): void {
    const channel = this.#findSender(id);
    if (channel === undefined) return;
    channel.grant(credit, performance.now());
    this.#wake(id);
  }

  /** Of each channel on which output is under way, what was sent. */
  positions(): [channel: number, position: number][] {
    return [...this.#channels].flatMap(([id, channel]) =>
      isSender(channel) && channel.inFlight > 0 ? [[id, channel.position]] : [],
    );
  }

  /** Throws `sequence_gap` when so much was sent on a channel of input, and did not come. */
  expect(id: number, position: number): void {
    this.#findInput(id)?.expect(position);
  }

  repeatCredit(): void {
    for (const channel of this.#channels.values())
      if (channel instanceof InputChannel) channel.repeatCredit();
  }

  /**
   * The connection is gone. What was under way is lost, and so are the channels: over the next connection the client opens
   * others, from where it is. Only holds are remembered, so that a client that has closed one meanwhile can give it up.
   */
  suspend(): void {
    for (const [id, channel] of this.#channels) {
      channel.close(false, performance.now());
      if (!(isSender(channel) && channel.isHeld)) this.#channels.delete(id);
    }
    this.#ready.clear();
    this.#flight = new Flight();
  }

  /** The session is over; its holds are given up if that was on purpose. */
  closeAll(onPurpose: boolean): void {
    for (const channel of this.#channels.values()) channel.close(onPurpose, performance.now());
    this.#channels.clear();
    this.#ready.clear();
  }

  /** Runs by itself while there is output to send and room to send it; once for all that is told of at the same time. */
  startPumping(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => this.#pumpOn());
  }

  #wake(id: number): void {
    this.#ready.add(id);
    this.startPumping();
  }

  #pumpOn(): void {
    const line = this.#options.line();
    this.#pumping = line !== undefined && this.#pump(line);
    if (this.#pumping) setImmediate(() => this.#pumpOn());
  }

  #claim(id: number): void {
    if (id <= this.#last)
      throw new AppError("protocol_error", `Cannot open channel ${id}: its number was used`);
    if (this.#channels.size >= MAX_CHANNELS)
      throw new AppError("too_many", `Cannot open more than ${MAX_CHANNELS} channels`);
    this.#last = id;
  }

  /** A reader that comes again with its hold has left the channel that it had. */
  #dropReplaced(job: JobId, holder: OpenOutput["holder"]): void {
    if (holder === undefined) return;
    for (const [id, channel] of this.#channels) {
      if (!(channel instanceof OutputChannel && channel.isOf(job, holder))) continue;
      channel.replace(performance.now());
      this.#channels.delete(id);
      this.#ready.delete(id);
    }
  }

  /** Runs by itself: the job may be one that is just being started. `demand`: throws what the caller may not. */
  #startAttaching(id: number, jobId: JobId, demand: () => unknown, attach: (job: Job) => void): void {
    const { jobs, identity } = this.#options;
    // At once: one that is just being started under a key that another has may be answered before the next turn.
    const found = jobs.findSoon(jobId, identity);
    Promise.try(demand)
      .then(() => found)
      .then((job) => {
        if (job === undefined)
          throw new AppError("not_found", `Cannot open job ${jobId}: there is none of that id`);
        attach(job);
      })
      .catch((error: unknown) => {
        const { code, message } = toErrorBody(error);
        this.#options.recorder.note("refused", { job: jobId, outcome: code, message });
        this.#break(id, error);
      });
  }

  /** Throws `unavailable` where nothing may be done unrecorded. */
  #record(access: "read" | "write", { start: { job, number } }: Job): void {
    const { recorder } = this.#options;
    if (this.#own.has(job)) return;
    recorder.note("attached", { access, job, number, outcome: "ok" });
    recorder.commit(`${access === "read" ? "read" : "write to"} job ${job}`);
  }

  #break(id: number, error: unknown): void {
    if (!this.#channels.has(id)) return;
    if (!(error instanceof AppError))
      this.#options.log.error("channel failed", { error: describeError(error) });
    this.close(id);
    this.#options.send({ type: "broken", channel: id, error: toErrorBody(error) });
  }

  #createInput(id: number): InputChannel {
    this.#claim(id);
    const { send, line } = this.#options;
    const channel = new InputChannel({
      onCredit: (counts) => line()?.send({ type: "credit", channel: id, ...counts }),
      onDiscard: () => {
        this.close(id);
        send({ type: "discard", channel: id });
      },
      onBroken: (error) => this.#break(id, error),
    });
    this.#channels.set(id, channel);
    return channel;
  }

  #findInput(id: number): InputChannel | undefined {
    const channel = this.#find(id);
    if (channel === undefined || channel instanceof InputChannel) return channel;
    throw toWrongKind(id);
  }

  #findSender(id: number): Sender | undefined {
    const channel = this.#find(id);
    if (channel === undefined || isSender(channel)) return channel;
    throw toWrongKind(id);
  }

  /** Undefined for one that was closed meanwhile. */
  #find(id: number): Channel | undefined {
    if (id > this.#last) throw toWrongKind(id);
    return this.#channels.get(id);
  }

  /** Sends from each channel in turn. Answers whether there is more to send at once. */
  #pump(line: Line): boolean {
    let sent = 0;
    for (const id of this.#ready) {
      if (this.#flight.room <= 0 || line.queued > MAX_QUEUED_BYTES) return false;
      if (sent >= FRAMES_PER_TURN) return true;
      this.#ready.delete(id);
      const channel = this.#channels.get(id);
      if (channel === undefined || !isSender(channel) || !this.#pumpOne(id, channel, line)) continue;
      this.#ready.add(id); // behind all others
      sent++;
    }
    return false;
  }

  #pumpOne(id: number, channel: Sender, line: Line): boolean {
    try {
      const position = channel.position;
      const frame = (this.#frame ??= new Uint8Array(DATA_HEADER_BYTES + MAX_DATA_BYTES));
      const bytes = channel.read(frame.subarray(DATA_HEADER_BYTES), performance.now());
      if (bytes > 0) {
        writeDataHeader(frame, id, position);
        line.sendBytes(frame.subarray(0, DATA_HEADER_BYTES + bytes));
        return true;
      }
      if (!channel.isAtEnd) return false;
      // Its credit still comes in, so the channel stays until the client has acknowledged the end, or closes it.
      channel.finish();
      this.#options.send({ type: "end", channel: id, position });
    } catch (error) {
      this.#break(id, error);
    }
    return false;
  }
}

function isSender(channel: Channel): channel is Sender {
  return !(channel instanceof InputChannel);
}

function toWrongKind(id: number): AppError {
  return new AppError("protocol_error", `Cannot accept a frame: channel ${id} is none of its kind`);
}
