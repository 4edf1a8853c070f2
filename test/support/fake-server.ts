import { SUBPROTOCOL } from "../../src/protocol/hello.ts";
import { type Heard, ServerPeer } from "./server-peer.ts";

export interface FakeServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** One for each connection so far. */
  readonly peers: readonly ServerPeer[];
}

export interface FakeServerOptions {
  readonly token?: string;
  readonly port?: number;
  /** Connections that break off as soon as they are upgraded; those after them live. */
  readonly cuts?: number;
  /** Certificate and key in PEM, and what else Bun's server takes. */
  readonly tls?: Bun.TLSOptions | undefined;
  /** Answers a request before anything else is looked at; undefined where it does not. */
  readonly respond?: (request: Request) => Response | undefined | Promise<Response | undefined>;
  /** Answers a frame; without, it welcomes and answers every ping. */
  readonly answer?: (frame: Heard, peer: ServerPeer) => void;
}

/** A server of this process that says what a test wants, on a real socket. */
export function openFakeServer({
  token,
  port = 0,
  cuts = 0,
  tls,
  respond,
  answer = answerPing,
}: FakeServerOptions = {}): FakeServer {
  const peers: ServerPeer[] = [];
  const server = Bun.serve<ServerPeer>({
    port,
    hostname: "127.0.0.1",
    ...(tls && { tls }),
    async fetch(request, server) {
      const response = await respond?.(request);
      if (response !== undefined) return response;
      if (token !== undefined && request.headers.get("authorization") !== `Bearer ${token}`) {
        return Response.json({ code: "unauthenticated", message: "Wrong token" }, { status: 401 });
      }
      const headers = { "sec-websocket-protocol": SUBPROTOCOL };
      if (server.upgrade(request, { data: new ServerPeer(), headers })) return undefined;
      return Response.json({ code: "protocol_error", message: "This is no upgrade" }, { status: 426 });
    },
    websocket: {
      open(socket) {
        const peer = socket.data;
        if (peers.push(peer) <= cuts) return socket.terminate();
        peer.ear = {
          receiveText: (text) => socket.sendText(text),
          receiveData: (frame) => socket.sendBinary(frame),
        };
        peer.onFrame = (frame) => answer(frame, peer);
      },
      message: (socket, message) =>
        socket.data.send(typeof message === "string" ? message : new Uint8Array(message)),
      close: (socket, code, reason) => socket.data.close(code, reason),
    },
  });
  return {
    port: server.port ?? 0,
    url: `http${tls === undefined ? "" : "s"}://127.0.0.1:${server.port}`,
    peers,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** Welcomes, and answers every call with an empty result. */
export function answerPing(frame: Heard, peer: ServerPeer): void {
  if (frame.type === "hello") peer.welcome();
  if (frame.type === "call") {
    peer.say({ type: "result", call: frame.call, result: { encoding: "json", value: {} } });
  }
}
