import * as v from "valibot";
import { abortable } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { type FrontMessage, type JobProgress, KeeperMessage, LINK_VERSION } from "../../keeper/link.ts";
import { AppError, fromErrorBody } from "../../protocol/error.ts";
import { heartbeat, type HeartbeatOptions, type Line } from "../../protocol/heartbeat.ts";
import type { JobId, KeeperId, WriterId } from "../../protocol/id.ts";
import { KeeperWire } from "./keeper-wire.ts";
import { Reminder } from "./reminder.ts";

type Message<T extends KeeperMessage["type"]> = Extract<KeeperMessage, { type: T }>;
type Request = Extract<FrontMessage, { request: number }>;
type Unnumbered<R> = R extends unknown ? Omit<R, "request"> : never;

/** What a keeper of any version says first. */
const Greeting = v.object({
  type: v.literal("hello"),
  version: v.object({ major: v.number(), minor: v.optional(v.number(), 0) }),
  pid: v.optional(v.number()),
  build: v.optional(v.string()),
});

/** What one of this major version says first. */
const Hello = KeeperMessage.options[0];

/** What a writer of input is told. */
export interface InputListener {
  taken(held: number, limit: number): void;
  closed(): void;
}

/** Whether a keeper can be reached: one that cannot may be frozen, or of another major version. */
export type KeeperState =
  | { readonly state: "reached"; readonly pid: number; readonly build: string }
  | { readonly state: "unreached"; readonly pid: number | undefined }
  | {
      readonly state: "unsupported";
      readonly pid: number | undefined;
      readonly build: string | undefined;
      readonly major: number;
    };

export interface KeeperLinkOptions {
  readonly socket: string;
  readonly build: string;
  /** Milliseconds that a hold survives its client or this front. */
  readonly grace: number;
  /** The keeper's, where that is known before it says so. */
  readonly pid: number | undefined;
  readonly log: Log;
  /** The keeper is reached, at first or again: what it says follows this list. */
  readonly onReached: (hello: Message<"hello">) => void;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onClosed: (progress: JobProgress) => void;
}

/** How a front makes sure that its keeper is there. */
export type LinkBeat = Pick<HeartbeatOptions, "every" | "patience">;

interface Pending {
  readonly message: Request;
  readonly bytes: Uint8Array | undefined;
  readonly answer: PromiseWithResolvers<KeeperMessage>;
  /** Whether it was sent before, over a connection that was lost since. */
  isAgain: boolean;
}

interface Listened {
  readonly job: JobId;
  readonly writer: WriterId;
  readonly listener: InputListener;
}

/**
 * The front's end of the link to one keeper, for as long as that lives: its connections come and go, and each new one
 * begins by telling the keeper again what it may not know.
 */
export class KeeperLink {
  readonly #options: KeeperLinkOptions;
  readonly #reminder = new Reminder();
  readonly #requests = new Map<number, Pending>();
  readonly #inputs = new Map<string, Listened>();
  #state: KeeperState;
  /** The minor version that it speaks, as it said last. */
  #minor = 0;
  #wire: KeeperWire | undefined;
  #lost = Promise.withResolvers<void>();
  #lastRequest = 0;

  constructor(options: KeeperLinkOptions) {
    this.#options = options;
    this.#state = { state: "unreached", pid: options.pid };
  }

  get state(): KeeperState {
    return this.#state;
  }

  /** Whether it takes input as a whole, however long (since 1.2). */
  get takesWhole(): boolean {
    return this.#minor >= 2;
  }

  /** Whether it runs programs as other users (since 1.4); one that does not would run them as itself. */
  get knowsUsers(): boolean {
    return this.#minor >= 4;
  }

  /** Whether it runs runners (since 1.5). */
  get knowsRunners(): boolean {
    return this.#minor >= 5;
  }

  /**
   * Reaches the keeper, however long that takes to answer: one that is frozen does so when it thaws. Throws `unavailable`
   * when nobody listens or the connection is lost, `unsupported_version` for a keeper of another major version, which is
   * then left alone.
   */
  async connect(signal: AbortSignal): Promise<void> {
    if (this.#wire !== undefined) return;
    if (this.#state.state === "unsupported") throw this.#toRefusal();
    const greeted = Promise.withResolvers<void>();
    greeted.promise.catch(() => {}); // nobody may be waiting for it any more
    const wire = await KeeperWire.connect({
      socket: this.#options.socket,
      onMessage: (message, wire) => {
        if (wire === this.#wire) return this.#hear(message);
        this.#greet(message, wire);
        greeted.resolve();
      },
      onLost: (cause, wire) => {
        greeted.reject(cause ?? hasGone());
        if (wire === this.#wire) this.#lose(cause);
      },
    });
    const { build, grace } = this.#options;
    wire.send({ message: { type: "hello", version: LINK_VERSION, build, grace } });
    await abortable(greeted.promise, signal).catch((error: unknown) => {
      wire.lose(error);
      throw error;
    });
  }

  /** Resolves when the connection is lost that there is now. */
  async waitForLoss(signal: AbortSignal): Promise<void> {
    if (this.#wire !== undefined) await abortable(this.#lost.promise, signal);
  }

  /**
   * As `waitForLoss`, and loses the connection itself when the keeper gives no sign of life for too long. Answers whether
   * that was so.
   */
  async watch({ every, patience }: LinkBeat, signal: AbortSignal): Promise<boolean> {
    const wire = this.#wire;
    if (wire === undefined) return false;
    let isFrozen = false;
    const watching = new AbortController();
    heartbeat(this.#toLine(wire), { every, patience, signal: watching.signal }).catch((error: unknown) => {
      if (watching.signal.aborted) return;
      isFrozen = true;
      wire.lose(error);
    });
    await this.waitForLoss(signal).finally(() => watching.abort());
    return isFrozen;
  }

  /** Tells the keeper, now or when it is reached again. */
  send(message: FrontMessage, bytes?: Uint8Array): void {
    this.#reminder.note({ message, bytes }, this.#wire !== undefined);
    this.#wire?.send({ message, bytes });
  }

  /**
   * Sends a verb that is answered. Throws the keeper's refusal, or `unavailable` when the keeper cannot be reached; only
   * a spawn goes on over the next connection, because it can be repeated. Throws `outcome_unknown` when the keeper has
   * given no sign of life since.
   */
  async request(message: Unnumbered<Request>, bytes?: Uint8Array): Promise<KeeperMessage> {
    if (this.#state.state !== "reached") throw this.#toRefusal();
    if (message.type === "spawn" && message.speaks && !this.knowsRunners)
      throw new AppError(
        "unavailable",
        "Cannot start the job: its keeper is of a version before such commands",
      );
    if (message.type === "spawn" && message.user !== undefined && !this.knowsUsers)
      throw new AppError(
        "unavailable",
        "Cannot start the job as another user: its keeper is of an older version, which runs all as itself",
      );
    const request = ++this.#lastRequest;
    const pending = {
      message: { ...message, request },
      bytes,
      answer: Promise.withResolvers<KeeperMessage>(),
      isAgain: false,
    };
    this.#requests.set(request, pending);
    this.send(pending.message, bytes);
    try {
      const reply = await pending.answer.promise;
      if (reply.type !== "reply" || reply.error === undefined) return reply;
      throw fromErrorBody(reply.error);
    } catch (error) {
      if (message.type === "spawn") this.#reminder.forget(message.start.job);
      throw error;
    }
  }

  /** Asks for a writer's state and hears of it from then on. */
  listen(job: JobId, writer: WriterId, listener: InputListener): Disposable {
    const key = `${job}/${writer}`;
    this.#inputs.set(key, { job, writer, listener });
    this.send({ type: "writer", job, writer });
    return {
      [Symbol.dispose]: () => {
        if (this.#inputs.get(key)?.listener === listener) this.#inputs.delete(key);
      },
    };
  }

  /** Leaves on purpose; the keeper goes on with its jobs. */
  close(): void {
    this.#wire?.send({ message: { type: "goodbye" } });
    this.#wire?.end();
  }

  /** The keeper cannot be reached: nobody waits any more for its answers, which it may give when it can be again. */
  giveUp(): void {
    if (this.#wire !== undefined) return;
    for (const { answer } of this.#requests.values()) answer.reject(mayObey(this.#state.pid));
    this.#requests.clear();
  }

  /** The keeper is dead: nobody waits for it any longer. */
  bury(): void {
    for (const { answer } of this.#requests.values()) answer.reject(hasGone());
    this.#requests.clear();
    for (const { listener } of this.#inputs.values()) listener.closed();
    this.#inputs.clear();
  }

  /**
   * Whatever it is told, a keeper need not say anything: only a ping is always answered, be it by a refusal. So it is silent
   * from the first ping that has no answer on, and never while it was not asked, as when this process itself was stopped.
   */
  #toLine(wire: KeeperWire): Line {
    let asked = performance.now();
    let unanswered: number | undefined;
    return {
      beat: () => {
        asked = performance.now();
        unanswered ??= asked;
        wire.send({ message: { type: "ping", request: ++this.#lastRequest } });
      },
      idle: () => performance.now() - asked,
      silence: () => {
        const now = performance.now();
        if (unanswered !== undefined && wire.silence < now - unanswered) unanswered = undefined;
        return unanswered === undefined ? 0 : now - unanswered;
      },
    };
  }

  /** Throws `unsupported_version`. */
  #greet(message: unknown, wire: KeeperWire): void {
    const { version, pid, build } = v.parse(Greeting, message);
    if (version.major !== LINK_VERSION.major) {
      this.#state = { state: "unsupported", pid, build, major: version.major };
      throw this.#toRefusal();
    }
    const hello = v.parse(Hello, message);
    this.#minor = version.minor;
    this.#wire = wire;
    this.#lost = Promise.withResolvers();
    this.#state = { state: "reached", pid: hello.pid, build: hello.build };
    this.#tellAgain(wire, new Set(hello.jobs.map(({ job }) => job)));
    this.#options.onReached(hello);
  }

  #tellAgain(wire: KeeperWire, kept: ReadonlySet<JobId>): void {
    for (const { message, bytes } of this.#requests.values()) {
      const { request } = message;
      if (message.type === "spawn" && kept.has(message.start.job)) {
        this.#answer({ type: "spawned", request, created: true });
      } else wire.send({ message, bytes });
    }
    for (const told of this.#reminder.list()) wire.send(told);
    for (const { job, writer } of this.#inputs.values())
      wire.send({ message: { type: "writer", job, writer } });
  }

  #hear(message: unknown): void {
    const parsed = v.safeParse(KeeperMessage, message);
    if (parsed.success) return this.#take(parsed.output);
    this.#options.log.warn("message of a keeper not understood", { why: parsed.issues[0].message });
  }

  #take(message: KeeperMessage): void {
    switch (message.type) {
      case "hello":
        return; // it was greeted already
      case "reply":
      case "spawned":
        return this.#answer(message);
      case "progress":
        return this.#options.onProgress(message);
      case "taken": {
        const { job, writer, held, limit } = message;
        this.#reminder.taken(job, writer, held);
        return this.#inputs.get(`${job}/${writer}`)?.listener.taken(held, limit);
      }
      case "input_closed":
        this.#reminder.closed(message.job, message.writer);
        return this.#inputs.get(`${message.job}/${message.writer}`)?.listener.closed();
      case "closed":
        this.#reminder.forget(message.job);
        return this.#options.onClosed(message);
      case "unknown_verb":
        return; // an older keeper; nothing that this front says to it needs an answer then
    }
  }

  #answer(reply: Message<"reply" | "spawned">): void {
    const pending = this.#requests.get(reply.request);
    this.#requests.delete(reply.request);
    // The first time it was sent it may have come through, and this is what the second then finds.
    pending?.answer.resolve(
      pending.isAgain && reply.type === "spawned" ? { ...reply, created: true } : reply,
    );
  }

  #lose(cause: unknown): void {
    const { pid } = this.#state;
    const isFrozen = cause instanceof AppError && cause.code === "peer_lost";
    this.#wire = undefined;
    this.#state = { state: "unreached", pid };
    for (const [request, pending] of this.#requests) {
      pending.isAgain = true;
      if (pending.message.type === "spawn" && !isFrozen) continue;
      pending.answer.reject(isFrozen ? mayObey(pid) : hasGone());
      this.#requests.delete(request);
    }
    if (cause !== undefined)
      this.#options.log.error("link to a keeper broken", { pid, error: describeError(cause) });
    this.#lost.resolve();
  }

  #toRefusal(): AppError {
    const { pid } = this.#state;
    const who = `the keeper${pid === undefined ? "" : ` with pid ${pid}`}`;
    if (this.#state.state !== "unsupported")
      return new AppError(
        "unavailable",
        `Cannot reach ${who}: it lives but does not answer; try again later`,
      );
    const { major } = this.#state;
    const versions = `it speaks version ${major} of the link, this server version ${LINK_VERSION.major}`;
    return new AppError(
      "unsupported_version",
      `Cannot use ${who}: ${versions}; run the farhandd that started it`,
    );
  }
}

/** What it was told lies where a frozen keeper finds it when it thaws. */
function mayObey(pid: number | undefined): AppError {
  const who = `the keeper with pid ${pid}`;
  return new AppError(
    "outcome_unknown",
    `Cannot tell whether it was done: ${who} does not answer, and may still do it`,
  );
}

function hasGone(): AppError {
  return new AppError("unavailable", "Cannot reach the keeper: the connection to it was lost");
}

/** A living keeper of this state directory. */
export interface KnownKeeper {
  readonly id: KeeperId;
  readonly link: KeeperLink;
}
