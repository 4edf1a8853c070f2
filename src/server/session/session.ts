import { randomBytes, timingSafeEqual } from "node:crypto";
import * as v from "valibot";
import { after } from "../../lib/abort.ts";
import { describeError } from "../../lib/log.ts";
import type { Beat, ClientFrame, ServerMessage } from "../../protocol/control.ts";
import type { DataFrame } from "../../protocol/data.ts";
import { AppError } from "../../protocol/error.ts";
import { type Hello, PROTOCOL_VERSION } from "../../protocol/hello.ts";
import { SessionId } from "../../protocol/id.ts";
import {
  ACK_DELAY,
  ACK_EVERY_FRAMES,
  CONTROL_WINDOW_FRAMES,
  HEARTBEAT_INTERVAL,
  MAX_CALLS,
  MAX_CHANNELS,
  MAX_CONTROL_FRAME_BYTES,
  MAX_DATA_BYTES,
  MIN_HEARTBEAT_INTERVAL,
} from "../../protocol/limits.ts";
import { Inbox, Outbox } from "../../protocol/reliable.ts";
import { isPrivate, type WorkspaceName } from "../../protocol/workspace.ts";
import type { Audit, Recorder } from "../audit/audit.ts";
import { toActor } from "../audit/event.ts";
import { type Identity, isSameLogin, toTenant } from "../auth/identity.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";
import { Calls, type CallsOptions } from "./calls.ts";
import { Channels, type ChannelsOptions, EXEC } from "./channels.ts";
import type { Connection } from "./connection.ts";

/** Messages that may wait for the window: an answer for each call, an end and a discard for each channel. */
const MAX_WAITING = MAX_CALLS + 2 * MAX_CHANNELS;
/** Bytes of messages that may be unacknowledged, sent or waiting: the least that has room for many of the largest. */
const MAX_UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024;
/** The same of all sessions of one user. */
export const MAX_USER_UNACKNOWLEDGED_BYTES = 128 * 1024 * 1024;
/** Bytes of them that every session may have, however much others of its user have. */
const FREE_UNACKNOWLEDGED_BYTES = 64 * 1024;

export interface SessionOptions
  extends
    Omit<CallsOptions, "onJob" | "onAnswer" | "recorder" | "minor">,
    Pick<ChannelsOptions, "state" | "jobs" | "log"> {
  readonly version: string;
  readonly audit: Pick<Audit, "as">;
  readonly workspaces: Pick<Workspaces, "hold" | "discard">;
  readonly boot: string;
  /** Milliseconds that it is kept without a connection. */
  readonly grace: number;
  /** Whether all sessions of its user together have more unacknowledged than they may. */
  readonly isOverdrawn: () => boolean;
  /** It has no connection any more, for the moment. */
  readonly onDeserted: () => void;
  readonly onEnd: () => void;
}

/** What a client presents to attach to its session. */
type Proof = Omit<NonNullable<Hello["resume"]>, "session">;

/** One client and its calls, channels and holds, over one connection after another. */
export class Session {
  readonly id: SessionId = v.parse(SessionId, crypto.randomUUID());
  readonly #options: SessionOptions;
  readonly #recorder: Recorder;
  readonly #inbox = new Inbox();
  readonly #outbox = new Outbox<ServerMessage>();
  readonly #calls: Calls;
  readonly #channels: Channels;
  /** Messages that wait for room in the window. */
  readonly #waiting: ServerMessage[] = [];
  /** Bytes of each message that is not acknowledged, sent or waiting, oldest first. */
  readonly #sizes: number[] = [];
  /** Bytes of all of them. */
  #unacknowledged = 0;
  #connection: Connection | undefined;
  /** The minor version of the protocol that its client speaks. */
  #minor = 0;
  /** What the client was given last; it may not have come. */
  #offered: Proof = { generation: 0, token: "" };
  /** What the client has shown to hold. */
  #proven: Proof | undefined;
  #workspace: { readonly name: WorkspaceName; readonly hold: Disposable } | undefined;
  #expiry: Disposable | undefined;
  #ackTimer: Disposable | undefined;
  #ended = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    const recorder = options.audit.as(toActor(options.identity, this.id));
    this.#recorder = recorder;
    this.#calls = new Calls({
      ...options,
      recorder,
      minor: () => this.#minor,
      onJob: (job) => this.#channels.own(job),
      onAnswer: (answer) => this.#send(answer),
    });
    this.#channels = new Channels({
      ...options,
      recorder,
      minor: () => this.#minor,
      line: () => this.#connection,
      send: (message) => this.#send(message),
      calls: this.#calls,
    });
  }

  /** Bytes that are kept until its client acknowledges them. */
  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** Whose it is. */
  get identity(): Identity {
    return this.#options.identity;
  }

  /** Whether somebody may attach to it: its owner, with what he was given last or what he had before that. */
  isOwnedBy(identity: Identity, proof: Proof): boolean {
    if (!isSameLogin(identity, this.#options.identity)) return false;
    return [this.#offered, this.#proven].some((known) => known !== undefined && isSame(known, proof));
  }

  /** Goes on over this connection; an older one is closed. Throws `protocol_error`. */
  attach(connection: Connection, hello: Hello): void {
    const { agent, heartbeat, received, resume, workspace } = hello;
    const { log, identity, version, boot, grace } = this.#options;
    const isResumed = resume !== undefined && resume.session === this.id;
    this.#minor = hello.version.minor;
    this.#expiry?.[Symbol.dispose]();
    this.#replace(connection);
    if (workspace !== undefined) this.#holdWorkspace(workspace);
    if (isResumed) this.#proven = { generation: resume.generation, token: resume.token };
    this.#offered = {
      generation: this.#offered.generation + 1,
      token: randomBytes(32).toString("base64url"),
    };
    const every = Math.max(MIN_HEARTBEAT_INTERVAL, Math.min(heartbeat, HEARTBEAT_INTERVAL));
    connection.send({
      type: "welcome",
      version: PROTOCOL_VERSION,
      agent: { name: "farhandd", version },
      session: this.id,
      generation: this.#offered.generation,
      resume: this.#offered.token,
      received: this.#inbox.takeAck(),
      heartbeat: every,
      grace,
      boot,
      limits: {
        controlFrameBytes: MAX_CONTROL_FRAME_BYTES,
        dataFrameBytes: MAX_DATA_BYTES,
        controlWindowFrames: CONTROL_WINDOW_FRAMES,
      },
    });
    connection.startHeartbeat(every, () => this.#toBeat());
    if (isResumed) this.#resend(received);
    this.#recorder.note(isResumed ? "session_resumed" : "session_opened", { agent });
    log.debug("session attached", {
      owner: identity.owner,
      session: this.id,
      generation: this.#offered.generation,
    });
  }

  /** The connection is gone; if it was the current one, another may come within the grace. */
  detach(connection: Connection): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    this.#dropAckTimer();
    if (this.#ended) return;
    this.#channels.suspend();
    const gone = new AppError("connection_lost", "The client is gone");
    this.#expiry = after(this.#options.grace, () => this.end(false, gone));
    this.#options.onDeserted();
  }

  /** Takes a frame that came over a connection. Throws what ends that one, and the session unless another could do better. */
  receive(frame: Exclude<ClientFrame, { type: "hello" }>, connection: Connection): void {
    if (connection !== this.#connection) return;
    // Whoever speaks on has the welcome, or never needs what it says.
    this.#proven = this.#offered;
    if ("seq" in frame) {
      if (frame.ack !== undefined) this.#acknowledged(frame.ack);
      if (!this.#inbox.accept(frame.seq)) return;
      this.#oweAck();
    }
    this.#obey(frame, connection);
  }

  receiveData(frame: DataFrame): void {
    this.#channels.receive(frame);
  }

  /** The connection has room again. */
  resumeOutput(): void {
    this.#channels.startPumping();
  }

  /** The session is over. Its holds are given up if that was on purpose, and wait for the client's return otherwise. */
  end(onPurpose: boolean, reason: AppError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#expiry?.[Symbol.dispose]();
    this.#dropAckTimer();
    this.#calls.abortAll(reason);
    this.#channels.closeAll(onPurpose);
    this.#dropWorkspace(onPurpose);
    this.#options.onEnd();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.fail(reason);
  }

  /** The one that was made up for this session is kept as long as that, however long nobody calls. */
  #holdWorkspace(name: WorkspaceName): void {
    if (this.#ended || this.#workspace !== undefined || !isPrivate(name)) return;
    this.#workspace = { name, hold: this.#options.workspaces.hold(toTenant(this.#options.identity), name) };
  }

  #dropWorkspace(forGood: boolean): void {
    if (this.#workspace === undefined) return;
    const { name, hold } = this.#workspace;
    hold[Symbol.dispose]();
    if (forGood) this.#options.workspaces.discard(toTenant(this.#options.identity), name);
  }

  #replace(connection: Connection): void {
    const former = this.#connection;
    if (former !== undefined) this.#channels.suspend();
    this.#connection = connection;
    former?.fail(
      new AppError("session_replaced", "This session goes on over a newer connection of its client"),
    );
  }

  #obey(frame: Exclude<ClientFrame, { type: "hello" }>, connection: Connection): void {
    switch (frame.type) {
      case "call":
        this.#calls.start(frame);
        // The job is known as one that is being started by now, or never will be.
        if (frame.output !== undefined && frame.job !== undefined)
          this.#channels.openOutput({
            ...frame.output,
            job: frame.job,
            from: { type: "since", number: 0 },
          });
        if (frame.events !== undefined)
          this.#channels.openEvents({ ...frame.events, call: frame.call, since: 0 });
        return;
      case "cancel":
        return this.#calls.cancel(frame.call);
      case "open_output":
        return this.#channels.openOutput(frame);
      case "open_input":
        return this.#channels.openInput(frame);
      case "open_events":
        return this.#channels.openEvents(frame);
      case "open_call_input":
        return this.#channels.openCallInput(frame);
      case "resize":
        return this.#startResizing(frame);
      case "close":
        return this.#channels.close(frame.channel);
      case "end":
        return this.#channels.end(frame.channel, frame.position);
      case "discard":
        return this.#channels.discard(frame.channel, frame.stream);
      case "credit":
        return this.#channels.grant(frame.channel, frame);
      case "ack":
        return this.#acknowledged(frame.ack);
      case "beat":
        return this.#compare(frame);
      case "goodbye":
        return connection.leave();
    }
  }

  /** Of a job that is just being started, once it has been. Who may not, has no such job, or one without a terminal, changes nothing. */
  #startResizing({ job: id, columns, rows }: Extract<ClientFrame, { type: "resize" }>): void {
    const { jobs, log, identity } = this.#options;
    if (!identity.grants.allows(EXEC)) return;
    jobs
      .findSoon(id, identity)
      .then((job) => job?.keeper?.send({ type: "resize", job: job.start.job, columns, rows }))
      .catch((error: unknown) => log.error("resize failed", { job: id, error: describeError(error) }));
  }

  /** What we have sent. What we have taken is said again too, in case that was lost. */
  #toBeat(): Beat {
    this.#channels.repeatCredit();
    const positions = this.#channels.positions();
    return { type: "beat", sent: this.#outbox.last, ...(positions.length > 0 && { positions }) };
  }

  /** Throws `sequence_gap` when the client has sent what never came. */
  #compare({ sent, positions = [] }: Beat): void {
    if (sent !== undefined) this.#inbox.expect(sent);
    for (const [channel, position] of positions) this.#channels.expect(channel, position);
  }

  /** Sends again what the last connection lost. Throws `protocol_error`. */
  #resend(received: number): void {
    for (const channel of this.#forget(received)) this.#channels.close(channel);
    for (const frame of this.#outbox.unacknowledged()) this.#connection?.send(frame);
    this.#sendWaiting();
  }

  /** Sends a sequenced message now, or as soon as the window has room. */
  #send(message: ServerMessage): void {
    if (this.#ended) return;
    const bytes = JSON.stringify(message).length;
    this.#waiting.push(message);
    this.#sizes.push(bytes);
    this.#unacknowledged += bytes;
    this.#sendWaiting();
    // One that acknowledges nothing but asks on is given up before what is kept for it grows without bound.
    if (this.#waiting.length > MAX_WAITING || this.#unacknowledged > MAX_UNACKNOWLEDGED_BYTES)
      this.#giveUp(`${MAX_WAITING} unacknowledged answers, or ${MAX_UNACKNOWLEDGED_BYTES} bytes of them`);
    else if (this.#unacknowledged > FREE_UNACKNOWLEDGED_BYTES && this.#options.isOverdrawn())
      this.#giveUp(`${MAX_USER_UNACKNOWLEDGED_BYTES} bytes of unacknowledged answers for one user`);
  }

  #giveUp(limits: string): void {
    this.end(false, new AppError("too_many", `Cannot keep more than ${limits}`));
  }

  #sendWaiting(): void {
    while (!this.#outbox.isFull && this.#waiting.length > 0) {
      const frame = this.#outbox.stamp(this.#waiting.shift() as ServerMessage);
      if (this.#connection === undefined) continue;
      this.#dropAckTimer();
      this.#connection.send({ ...frame, ack: this.#inbox.takeAck() });
    }
  }

  #acknowledged(seq: number): void {
    for (const channel of this.#forget(seq)) this.#channels.settle(channel);
    this.#sendWaiting();
  }

  /** Keeps no more what the client has, and answers the channels whose end is among it. Throws `protocol_error`. */
  #forget(seq: number): readonly number[] {
    const messages = this.#outbox.acknowledge(seq);
    for (const bytes of this.#sizes.splice(0, messages.length)) this.#unacknowledged -= bytes;
    return messages.flatMap((message) => (message.type === "end" ? [message.channel] : []));
  }

  #oweAck(): void {
    if (this.#inbox.owed >= ACK_EVERY_FRAMES) return this.#acknowledge();
    this.#ackTimer ??= after(ACK_DELAY, () => this.#acknowledge());
  }

  #acknowledge(): void {
    this.#dropAckTimer();
    if (this.#inbox.owed > 0) this.#connection?.send({ type: "ack", ack: this.#inbox.takeAck() });
  }

  #dropAckTimer(): void {
    this.#ackTimer?.[Symbol.dispose]();
    this.#ackTimer = undefined;
  }
}

function isSame(known: Proof, shown: Proof): boolean {
  const [a, b] = [Buffer.from(known.token), Buffer.from(shown.token)];
  return known.generation === shown.generation && a.length === b.length && timingSafeEqual(a, b);
}
