import { AppError } from "../../src/protocol/error.ts";
import { PROTOCOL_VERSION } from "../../src/protocol/hello.ts";
import { encodeFrame, FrameReader, OPCODE, type RawFrame, type ReadFrame } from "./frame.ts";

/** How a connection ended: by a close frame, or without one. */
export type RawEnd =
  { readonly type: "closed"; readonly code: number; readonly reason: string } | { readonly type: "cut" };

export type Received =
  | { readonly type: "control"; readonly frame: ControlFrame }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "pong"; readonly bytes: Uint8Array };

/** A control frame as it came; a test looks at whatever fields it wants. */
export type ControlFrame = Readonly<Record<string, unknown>> & { readonly type: string };

export interface RawTarget {
  /** `http://127.0.0.1:1234`, `https://127.0.0.1:1234` or `unix:/path`. */
  readonly url: string;
  readonly token: string;
  /** In PEM, of who may answer where that is `https:`. */
  readonly certificate?: string | undefined;
}

/** A WebSocket client that does what it is told, wrong or right. Frames that come are kept in order. */
export class RawClient implements Disposable {
  readonly received: Received[] = [];
  readonly #upgraded = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<RawEnd>();
  #socket: Bun.Socket | undefined;
  readonly #reader = new FrameReader();
  #waiting: Uint8Array[] = [];
  #changed = Promise.withResolvers<void>();
  #taken = 0;
  #paused = false;
  #seq = 0;

  /** Connects, and sends nothing beyond what TLS takes. */
  static async connect(url: string, certificate?: string): Promise<RawClient> {
    const { protocol, hostname, port, pathname } = new URL(url);
    const client = new RawClient();
    client.#upgraded.promise.catch(() => {}); // only who upgrades waits for it
    const shaken = Promise.withResolvers<void>();
    client.#socket = await Bun.connect({
      ...(protocol === "unix:"
        ? { unix: pathname }
        : { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port) }),
      ...(protocol === "https:" && { tls: { ca: certificate, rejectUnauthorized: true } }),
      socket: {
        handshake: (_, isDone, error) => (isDone ? shaken.resolve() : shaken.reject(error)),
        data: (_, chunk) => client.#take(chunk),
        drain: () => client.#drain(),
        close: () => client.#finish({ type: "cut" }),
        end: () => client.#finish({ type: "cut" }),
        error: () => client.#finish({ type: "cut" }),
      },
    } as Bun.TCPSocketConnectOptions<undefined>);
    if (protocol === "https:") await shaken.promise;
    return client;
  }

  /** Connects and upgrades; throws what the server answers instead. */
  static async upgrade({ url, token, certificate }: RawTarget): Promise<RawClient> {
    const client = await RawClient.connect(url, certificate);
    client.write(
      [
        "GET /v1/channel HTTP/1.1",
        `Host: ${new URL(url).host || "localhost"}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: farhand.v1",
        `Authorization: Bearer ${token}`,
        "\r\n",
      ].join("\r\n"),
    );
    await client.#upgraded.promise;
    return client;
  }

  /** Upgrades, says hello and waits for the welcome. */
  static async open(target: RawTarget, hello: Readonly<Record<string, unknown>> = {}): Promise<RawClient> {
    const client = await RawClient.upgrade(target);
    client.hello(hello);
    await client.control("welcome");
    return client;
  }

  get ended(): Promise<RawEnd> {
    return this.#end.promise;
  }

  write(bytes: Uint8Array | string): void {
    this.#waiting.push(Buffer.from(bytes as Uint8Array));
    this.#drain();
  }

  frame(frame: RawFrame): void {
    this.write(encodeFrame(frame));
  }

  /** Any text, or a control frame; its sequence number counts as used. */
  text(text: string | Readonly<Record<string, unknown>>): void {
    if (typeof text !== "string" && Number.isSafeInteger(text["seq"]))
      this.#seq = Math.max(this.#seq, Number(text["seq"]));
    this.frame({ opcode: OPCODE.text, payload: typeof text === "string" ? text : JSON.stringify(text) });
  }

  binary(bytes: Uint8Array): void {
    this.frame({ opcode: OPCODE.binary, payload: bytes });
  }

  hello(changes: Readonly<Record<string, unknown>> = {}): void {
    this.text({
      type: "hello",
      version: PROTOCOL_VERSION,
      agent: { name: "raw", version: "1" },
      heartbeat: 15_000,
      received: 0,
      ...changes,
    });
  }

  /** A frame with the next sequence number. */
  sequenced(frame: Readonly<Record<string, unknown>>): void {
    this.text({ ...frame, seq: this.#seq + 1 });
  }

  call(
    call: number,
    command: string,
    value: unknown = {},
    rest: Readonly<Record<string, unknown>> = {},
  ): void {
    this.sequenced({ type: "call", call, command, input: { encoding: "json", value }, ...rest });
  }

  /** Reads nothing more from the connection. */
  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  /** Forgets what came so far. */
  forget(): void {
    this.received.length = 0;
    this.#taken = 0;
  }

  /** The next frame that the predicate accepts; those before it are passed over. Throws when the connection ends first. */
  async next<T>(pick: (received: Received) => T | undefined, within = 10_000): Promise<T> {
    const late = AbortSignal.timeout(within);
    for (;;) {
      while (this.#taken < this.received.length) {
        const picked = pick(this.received[this.#taken++] as Received);
        if (picked !== undefined) return picked;
      }
      await this.#changes(late);
    }
  }

  /** The next control frame of one of these types. */
  control(...types: string[]): Promise<ControlFrame> {
    return this.next((received) =>
      received.type === "control" && types.includes(received.frame.type) ? received.frame : undefined,
    );
  }

  [Symbol.dispose](): void {
    this.#socket?.terminate();
  }

  async #changes(late: AbortSignal): Promise<void> {
    const ended = this.#end.promise.then((end) => {
      throw new AppError("connection_lost", `The connection ended: ${JSON.stringify(end)}`);
    });
    const timedOut = new Promise<never>((_, reject) =>
      late.addEventListener("abort", () => reject(new AppError("timed_out", "No such frame came")), {
        once: true,
      }),
    );
    await Promise.race([this.#changed.promise, ended, timedOut]);
  }

  #drain(): void {
    for (let bytes = this.#waiting[0]; bytes !== undefined; bytes = this.#waiting[0]) {
      const taken = Math.max(0, this.#socket?.write(bytes) ?? 0);
      if (taken < bytes.length) {
        this.#waiting[0] = bytes.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }

  #take(chunk: Uint8Array): void {
    if (this.#paused) return;
    for (const frame of this.#reader.read(chunk)) this.#keep(frame);
    const { head, isUpgraded } = this.#reader;
    if (isUpgraded) this.#upgraded.resolve();
    else if (head !== undefined) this.#upgraded.reject(new AppError("connection_refused", head));
    this.#tell();
  }

  /** What a server sends is unmasked and unfragmented here. */
  #keep({ opcode, payload }: ReadFrame): void {
    switch (opcode) {
      case OPCODE.text:
        this.received.push({ type: "control", frame: JSON.parse(payload.toString()) });
        return;
      case OPCODE.close:
        return this.#finish({
          type: "closed",
          code: payload.length >= 2 ? payload.readUInt16BE(0) : 1005,
          reason: new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2)),
        });
      default:
        this.received.push({ type: opcode === OPCODE.pong ? "pong" : "data", bytes: payload });
    }
  }

  #finish(end: RawEnd): void {
    this.#upgraded.reject(new AppError("connection_lost", "The connection ended before the upgrade"));
    this.#end.resolve(end);
    this.#tell();
  }

  #tell(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    changed.resolve();
  }
}
