import { Bell } from "../../src/lib/bell.ts";
import {
  encodeLinkFrame,
  type FrontMessage,
  type JobProgress,
  KeeperMessage,
  LINK_VERSION,
  LinkDecoder,
  LinkWriter,
} from "../../src/keeper/link.ts";
import type { JobId } from "../../src/protocol/id.ts";
import * as v from "valibot";

type Message<T extends KeeperMessage["type"]> = Extract<KeeperMessage, { type: T }>;

/** The front's end of a keeper's link, as bare as it can be: what it hears is kept, in order. */
export class Front implements Disposable {
  readonly heard: KeeperMessage[] = [];
  isClosed = false;
  readonly #bell = new Bell();
  readonly #socket: Bun.Socket;
  readonly #writer: LinkWriter;

  private constructor(socket: Bun.Socket) {
    this.#socket = socket;
    this.#writer = new LinkWriter(socket);
  }

  /** Connects and says hello. */
  static async connect(path: string): Promise<Front> {
    const front = await Front.open(path);
    front.hello();
    return front;
  }

  /** Connects and says nothing. */
  static async open(path: string): Promise<Front> {
    const decoder = new LinkDecoder();
    let front: Front | undefined;
    const socket = await Bun.connect({
      unix: path,
      socket: {
        data(_socket, chunk) {
          for (const { message } of decoder.push(chunk)) front?.heard.push(v.parse(KeeperMessage, message));
          front?.ring();
        },
        drain: () => front?.drain(),
        close() {
          if (front !== undefined) front.isClosed = true;
          front?.ring();
        },
      },
    });
    front = new Front(socket);
    return front;
  }

  /** `grace`: milliseconds that a hold survives its client or us. */
  hello(grace?: number): void {
    this.send({ type: "hello", version: LINK_VERSION, build: "test", ...(grace !== undefined && { grace }) });
  }

  /** For the socket's callbacks only, as the one below. */
  ring(): void {
    this.#bell.ring();
  }

  drain(): void {
    this.#writer.drain();
  }

  send(message: FrontMessage, bytes?: Uint8Array): void {
    this.#writer.write(encodeLinkFrame(message, bytes));
  }

  /** Sends what no schema allows. */
  sendRaw(message: object): void {
    // The frame's encoding knows no schema; only its type does.
    this.#writer.write(encodeLinkFrame(message as FrontMessage));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#writer.write(bytes);
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The first message of this type that fits, as soon as it is heard. */
  hear<T extends KeeperMessage["type"]>(
    type: T,
    fits: (message: Message<T>) => boolean = () => true,
  ): Promise<Message<T>> {
    return this.until(() =>
      this.heard.find(
        (message): message is Message<T> => message.type === type && fits(message as Message<T>),
      ),
    );
  }

  /** What `look` finds, asked again whenever something is heard. Throws after 20 s. */
  async until<T>(look: () => T | undefined): Promise<T> {
    const deadline = AbortSignal.timeout(20_000);
    const late = new Promise<never>((_resolve, reject) => {
      deadline.addEventListener("abort", () => reject(new Error(`Not heard within 20 s: ${look}`)));
    });
    late.catch(() => {}); // most often nobody waits any more
    for (;;) {
      const rung = this.#bell.wait();
      const found = look();
      if (found !== undefined) return found;
      await Promise.race([rung, late]);
    }
  }

  /** How far a job has come, as last heard. */
  standing(job: JobId): JobProgress {
    const reports = this.heard.flatMap((message) =>
      message.type === "progress" || message.type === "closed"
        ? [message]
        : message.type === "hello"
          ? message.jobs
          : [],
    );
    return reports.findLast((report) => report.job === job) ?? { job, next: 0, position: 0 };
  }

  /** Goes without a word, as a front that crashes does. */
  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}
