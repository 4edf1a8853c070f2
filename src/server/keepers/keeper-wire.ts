import { encodeLinkFrame, LinkDecoder, LinkWriter } from "../../keeper/link.ts";
import { AppError } from "../../protocol/error.ts";
import type { Told } from "./reminder.ts";

export interface KeeperWireOptions {
  readonly socket: string;
  /** What the keeper says, not yet checked. A throw ends the connection. */
  readonly onMessage: (message: unknown, wire: KeeperWire) => void;
  /** The connection has ended, once and however that came. */
  readonly onLost: (cause: unknown, wire: KeeperWire) => void;
}

/** One connection to a keeper. */
export class KeeperWire {
  readonly #options: KeeperWireOptions;
  readonly #socket: Bun.Socket;
  readonly #writer: LinkWriter;
  readonly #decoder = new LinkDecoder();
  #lost = false;
  #heard = performance.now();

  private constructor(socket: Bun.Socket, options: KeeperWireOptions) {
    this.#socket = socket;
    this.#writer = new LinkWriter(socket);
    this.#options = options;
  }

  /** Throws `unavailable` when nobody listens, or whoever did is gone again. */
  static async connect(options: KeeperWireOptions): Promise<KeeperWire> {
    let wire: KeeperWire | undefined;
    let isLost = false;
    // A keeper that is just dying may take the connection and lose it before we are told of it.
    const lose = (cause: unknown) => (wire === undefined ? (isLost = true) : wire.lose(cause));
    const socket = await Bun.connect({
      unix: options.socket,
      socket: {
        data: (_socket, chunk) => wire?.receive(chunk),
        drain: () => wire?.drain(),
        close: () => void lose(undefined),
        error: (_socket, error) => void lose(error),
        connectError: () => {},
      },
    }).catch((cause: unknown) => {
      throw new AppError("unavailable", "Cannot reach the keeper: it does not listen", { cause });
    });
    if (isLost) throw new AppError("unavailable", "Cannot reach the keeper: it has just ended");
    wire = new KeeperWire(socket, options);
    return wire;
  }

  /** Milliseconds for which nothing has come. */
  get silence(): number {
    return performance.now() - this.#heard;
  }

  send({ message, bytes }: Told): void {
    this.#writer.write(encodeLinkFrame(message, bytes));
  }

  /** Ends the connection once everything written is sent. */
  end(): void {
    this.#socket.end();
  }

  /** For the socket's callbacks only, as `drain`. */
  receive(chunk: Uint8Array): void {
    this.#heard = performance.now();
    try {
      for (const { message } of this.#decoder.push(chunk)) {
        if (this.#lost) return;
        this.#options.onMessage(message, this);
      }
    } catch (error) {
      this.lose(error);
    }
  }

  drain(): void {
    this.#writer.drain();
  }

  /** Ends the connection at once. */
  lose(cause: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#socket.terminate();
    this.#options.onLost(cause, this);
  }
}
