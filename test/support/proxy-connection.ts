import { type Direction, Lane, type Mishap, type Transform, type Way } from "./lane.ts";

/** What goes wrong at a certain byte of one connection. */
export interface Faults {
  /** Bytes from the client after which both sides are cut off; the last one is still forwarded. */
  readonly cutToServer?: number | undefined;
  /** Bytes from the server after which both sides are cut off. */
  readonly cutToClient?: number | undefined;
  /** How a cut looks to both sides: as an end of everything (the default), or a reset, which may overtake the last bytes. */
  readonly cutBy?: "fin" | "reset" | undefined;
  /** Inverts some bits of a byte that the client sends. */
  readonly flipToServer?: Mishap["flip"];
  readonly flipToClient?: Mishap["flip"];
}

export interface Ends {
  /** Which of the proxy's connections this is, from 0. */
  readonly index: number;
  readonly client: Bun.Socket<unknown>;
  readonly server: Bun.Socket<unknown>;
}

export interface ConnectionOptions {
  readonly faults: Faults;
  readonly transform?: ((connection: number, direction: Direction) => Transform) | undefined;
}

/** One connection through a proxy: two sockets, and a lane in each direction. Disposing resets both sides. */
export class ProxyConnection implements Disposable {
  readonly index: number;
  /** Resolves once both sides are gone. */
  readonly closed: Promise<void>;
  readonly lanes: Readonly<Record<Direction, Lane>>;
  readonly #ends: Ends;
  readonly #over = new AbortController();
  readonly #open = new Set(["client", "server"]);

  constructor(
    ends: Ends,
    ways: Readonly<Record<Direction, Way>>,
    { faults, transform = () => (chunk) => [chunk] }: ConnectionOptions,
  ) {
    this.index = ends.index;
    this.#ends = ends;
    this.closed = new Promise((resolve) => this.#over.signal.addEventListener("abort", () => resolve()));
    const toLane = (direction: Direction, source: Bun.Socket<unknown>, mishap: Mishap) =>
      new Lane(source, {
        way: ways[direction],
        mishap,
        transform: transform(ends.index, direction),
        onCut: () => (faults.cutBy === "reset" ? this.reset() : this.cut()),
        signal: this.#over.signal,
      });
    const { cutToServer, cutToClient, flipToServer, flipToClient } = faults;
    this.lanes = {
      toServer: toLane("toServer", ends.client, { cutAfter: cutToServer, flip: flipToServer }),
      toClient: toLane("toClient", ends.server, { cutAfter: cutToClient, flip: flipToClient }),
    };
    // A lane ends only by being told that the connection is over.
    this.lanes.toServer.run(ends.server).catch(() => {});
    this.lanes.toClient.run(ends.client).catch(() => {});
  }

  /** Whether either side is still there. */
  get isOpen(): boolean {
    return !this.#over.signal.aborted;
  }

  /** From now on nothing passes, in one direction or both, and nobody is told. */
  blackhole(direction?: Direction): void {
    this.shape({ isBlack: true }, direction);
  }

  /** Changes the way in one direction or both. */
  shape(changes: Partial<Way>, direction?: Direction): void {
    if (direction !== "toClient") this.lanes.toServer.change(changes);
    if (direction !== "toServer") this.lanes.toClient.change(changes);
  }

  /** Ends both sides by FIN: what they were sent arrives before. */
  cut(): void {
    this.#ends.client.end();
    this.#ends.server.end();
  }

  /** Resets both sides. */
  reset(): void {
    this.#ends.client.terminate();
    this.#ends.server.terminate();
  }

  /** Ends one direction by FIN; the other goes on. */
  halfClose(direction: Direction): void {
    this.lanes[direction].halfClose();
  }

  /** For the sockets' callbacks only, as those below. */
  take(end: "client" | "server", chunk: Uint8Array): void {
    this.#laneFrom(end).take(chunk);
  }

  finishEnd(end: "client" | "server"): void {
    this.#laneFrom(end).end("fin");
  }

  closeEnd(end: "client" | "server", error: Error | undefined): void {
    this.#laneFrom(end).end(error === undefined ? "fin" : "reset");
    this.#open.delete(end);
    if (this.#open.size === 0) this.#over.abort();
  }

  ring(): void {
    this.lanes.toServer.ring();
    this.lanes.toClient.ring();
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#over.abort();
  }

  #laneFrom(end: "client" | "server"): Lane {
    return end === "client" ? this.lanes.toServer : this.lanes.toClient;
  }
}
