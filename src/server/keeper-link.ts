import * as v from "valibot";
import { abortable } from "../lib/abort.ts";
import {
  encodeLinkFrame,
  type FrontMessage,
  KeeperMessage,
  LINK_VERSION,
  LinkDecoder,
  LinkWriter,
} from "../keeper/link.ts";
import { AppError, fromErrorBody } from "../protocol/error.ts";
import type { JobId, KeeperId, WriterId } from "../protocol/id.ts";

type Message<T extends KeeperMessage["type"]> = Extract<KeeperMessage, { type: T }>;
type Request = Extract<FrontMessage, { request: number }>;
type Unnumbered<R> = R extends unknown ? Omit<R, "request"> : never;

/** What a writer of input is told. */
export interface InputListener {
  taken(held: number, limit: number): void;
  closed(): void;
}

export interface KeeperLinkOptions {
  readonly socket: string;
  readonly build: string;
  readonly onProgress: (message: Message<"progress">) => void;
  readonly onClosed: (message: Message<"closed">) => void;
  /** The keeper is gone, or the link to it broke. */
  readonly onLost: () => void;
}

/** The front's end of the link to one keeper. */
export class KeeperLink {
  readonly #socket: Bun.Socket;
  readonly #writer: LinkWriter;
  readonly #options: KeeperLinkOptions;
  readonly #decoder = new LinkDecoder();
  readonly #requests = new Map<number, PromiseWithResolvers<KeeperMessage>>();
  readonly #inputs = new Map<string, InputListener>();
  readonly #hello = Promise.withResolvers<Message<"hello">>();
  #lastRequest = 0;

  private constructor(socket: Bun.Socket, options: KeeperLinkOptions) {
    this.#socket = socket;
    this.#writer = new LinkWriter(socket);
    this.#options = options;
  }

  /** Connects and says hello. Throws `unavailable` when nobody listens, or the keeper is of another major version. */
  static async connect(
    options: KeeperLinkOptions,
    signal: AbortSignal,
  ): Promise<{ link: KeeperLink; hello: Message<"hello"> }> {
    let link: KeeperLink | undefined;
    const socket = await Bun.connect({
      unix: options.socket,
      socket: {
        data: (_socket, chunk) => link?.receive(chunk),
        drain: () => link?.drain(),
        close: () => link?.lose(),
        error: () => link?.lose(),
        connectError: () => {},
      },
    }).catch((cause: unknown) => {
      throw new AppError("unavailable", "Cannot reach the keeper: it does not listen", { cause });
    });
    link = new KeeperLink(socket, options);
    link.send({ type: "hello", version: LINK_VERSION, build: options.build });
    const hello = await abortable(link.#hello.promise, signal);
    if (hello.version.major === LINK_VERSION.major) return { link, hello };
    socket.end();
    throw new AppError(
      "unavailable",
      `Cannot use keeper ${hello.keeper}: it speaks version ${hello.version.major} of the link`,
    );
  }

  send(message: FrontMessage, bytes?: Uint8Array): void {
    this.#writer.write(encodeLinkFrame(message, bytes));
  }

  /** Sends a verb that is answered. Throws the keeper's refusal, or `unavailable` when the keeper is lost meanwhile. */
  async request(message: Unnumbered<Request>): Promise<KeeperMessage> {
    const request = ++this.#lastRequest;
    const answer = Promise.withResolvers<KeeperMessage>();
    this.#requests.set(request, answer);
    this.send({ ...message, request });
    const reply = await answer.promise;
    if (reply.type === "reply" && reply.error !== undefined) throw fromErrorBody(reply.error);
    return reply;
  }

  /** Asks for a writer's state and hears of it from then on. */
  listen(job: JobId, writer: WriterId, listener: InputListener): Disposable {
    const key = `${job}/${writer}`;
    this.#inputs.set(key, listener);
    this.send({ type: "writer", job, writer });
    return {
      [Symbol.dispose]: () => {
        if (this.#inputs.get(key) === listener) this.#inputs.delete(key);
      },
    };
  }

  /** Leaves on purpose; the keeper goes on with its jobs. */
  close(): void {
    this.send({ type: "goodbye" });
    this.#socket.end();
  }

  /** For the socket's callbacks only, as the two below. */
  receive(chunk: Uint8Array): void {
    for (const { message } of this.#decoder.push(chunk)) this.#handle(v.parse(KeeperMessage, message));
  }

  #handle(message: KeeperMessage): void {
    switch (message.type) {
      case "hello":
        return this.#hello.resolve(message);
      case "reply":
      case "spawned":
        this.#requests.get(message.request)?.resolve(message);
        this.#requests.delete(message.request);
        return;
      case "progress":
        return this.#options.onProgress(message);
      case "taken":
        return this.#inputs.get(`${message.job}/${message.writer}`)?.taken(message.held, message.limit);
      case "input_closed":
        return this.#inputs.get(`${message.job}/${message.writer}`)?.closed();
      case "closed":
        return this.#options.onClosed(message);
      case "unknown_verb":
        return; // an older keeper; nothing that this front says to it needs an answer then
    }
  }

  drain(): void {
    this.#writer.drain();
  }

  lose(): void {
    const lost = new AppError("unavailable", "Cannot reach the keeper: it has gone");
    this.#hello.promise.catch(() => {}); // nobody may be waiting for it any more
    this.#hello.reject(lost);
    for (const { reject } of this.#requests.values()) reject(lost);
    this.#requests.clear();
    for (const listener of this.#inputs.values()) listener.closed();
    this.#inputs.clear();
    this.#options.onLost();
  }
}

/** A keeper that the front is connected to. */
export interface KnownKeeper {
  readonly id: KeeperId;
  readonly pid: number;
  readonly build: string;
  readonly link: KeeperLink;
}
