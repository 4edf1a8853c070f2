import { Bell } from "../../src/lib/bell.ts";
import { SUBPROTOCOL } from "../../src/protocol/hello.ts";
import { encodeFrame, FrameReader, OPCODE, type RawFrame, type ReadFrame } from "./frame.ts";

/** A WebSocket server that says what it is told, wrong or right, to clients that are right. */
export interface RawServer extends Disposable {
  readonly url: string;
  readonly port: number;
  /** All that were upgraded, oldest first. */
  readonly connections: readonly RawServerConnection[];
}

export interface RawServerOptions {
  /** What happens on a connection once it is upgraded. */
  readonly onOpen?: (connection: RawServerConnection) => void;
  /** Answers the upgrade with these bytes instead. */
  readonly answer?: string;
}

export function openRawServer({ onOpen = () => {}, answer }: RawServerOptions = {}): RawServer {
  const connections: RawServerConnection[] = [];
  const sockets = new Set<Bun.Socket<RawServerConnection>>();
  const listener = Bun.listen<RawServerConnection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        sockets.add(socket);
        socket.data = new RawServerConnection(socket, (connection) => {
          if (answer !== undefined) return connection.write(answer);
          connection.upgrade();
          connections.push(connection);
          onOpen(connection);
        });
      },
      data: ({ data }, chunk) => data.take(chunk),
      drain: ({ data }) => data.drain(),
      close(socket) {
        sockets.delete(socket);
        socket.data.finish();
      },
      error: () => {}, // its close follows
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    connections,
    [Symbol.dispose]() {
      listener.stop();
      for (const socket of sockets) socket.terminate();
    },
  };
}

/** A connection as its server has it. Frames that come are kept in order. */
export class RawServerConnection {
  readonly received: ReadFrame[] = [];
  isClosed = false;
  readonly #socket: Bun.Socket<unknown>;
  readonly #onHead: (connection: RawServerConnection) => void;
  readonly #reader = new FrameReader();
  readonly #bell = new Bell();
  #waiting: Uint8Array[] = [];
  #isAsked = false;

  constructor(socket: Bun.Socket<unknown>, onHead: (connection: RawServerConnection) => void) {
    this.#socket = socket;
    this.#onHead = onHead;
  }

  write(bytes: Uint8Array | string): void {
    this.#waiting.push(Buffer.from(bytes as Uint8Array));
    this.drain();
  }

  /** A frame, unmasked unless it says otherwise. */
  frame(frame: RawFrame): void {
    this.write(encodeFrame({ mask: null, ...frame }));
  }

  text(text: string | object): void {
    this.frame({ opcode: OPCODE.text, payload: typeof text === "string" ? text : JSON.stringify(text) });
  }

  binary(bytes: Uint8Array): void {
    this.frame({ opcode: OPCODE.binary, payload: bytes });
  }

  /** What the client said as JSON, of one type or of all. */
  said(type?: string): Readonly<Record<string, unknown>>[] {
    const texts = this.received.filter(({ opcode }) => opcode === OPCODE.text);
    return texts
      .map(({ payload }) => JSON.parse(payload.toString()))
      .filter((frame) => type === undefined || frame.type === type);
  }

  /** Resolves once the condition holds of what was received; throws when the connection ends first. */
  async until(condition: () => boolean): Promise<void> {
    for (;;) {
      const rung = this.#bell.wait();
      if (condition()) return;
      if (this.isClosed) throw new Error(`The connection ended before this was so: ${condition}`);
      await rung;
    }
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** For the listener only, as those below. */
  upgrade(): void {
    const key = /^sec-websocket-key: *(\S+)/im.exec(this.#reader.head ?? "")?.[1] ?? "";
    const accept = new Bun.CryptoHasher("sha1")
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept}`,
      `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    ];
    this.write(`${lines.join("\r\n")}\r\n\r\n`);
  }

  take(chunk: Uint8Array): void {
    const frames = [...this.#reader.read(chunk)];
    if (this.#reader.head !== undefined && !this.#isAsked) {
      this.#isAsked = true;
      this.#onHead(this);
    }
    this.received.push(...frames);
    this.#bell.ring();
  }

  drain(): void {
    for (let [bytes] = this.#waiting; bytes !== undefined; [bytes] = this.#waiting) {
      const taken = Math.max(0, this.#socket.write(bytes));
      if (taken < bytes.length) {
        this.#waiting[0] = bytes.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }

  finish(): void {
    this.isClosed = true;
    this.#bell.ring();
  }
}
