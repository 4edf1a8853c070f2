import { describeError, type Log } from "../lib/log.ts";
import { CLOSE } from "../protocol/close.ts";
import { toErrorBody } from "../protocol/error.ts";
import { MAX_CONTROL_FRAME_BYTES, MAX_SIGNS, OUTPUT_WINDOW_BYTES, SIGNS_TIME } from "../protocol/limits.ts";
import type { Identity } from "./auth/identity.ts";
import { type AppOptions, createApp, GUARDS } from "./app.ts";
import { bind, type Handlers } from "./bind.ts";
import { Allowance } from "./gate/allowance.ts";
import type { Gate } from "./gate/gate.ts";
import { isExposed, type ListenAddress } from "./listen.ts";
import type { Connection, Peer } from "./session/connection.ts";
import type { Credentials } from "./tls/tls.ts";

/** Bytes that Bun may queue for one connection; credit keeps it far below, so reaching it is a broken client. */
const MAX_BACKPRESSURE_BYTES = 4 * OUTPUT_WINDOW_BYTES;

export interface ListenOptions {
  readonly log: Log;
  readonly connections: Set<Connection>;
  readonly openConnection: (peer: Peer, identity: Identity) => Connection;
  readonly gate: Gate;
  readonly app: Omit<AppOptions, "isSecure" | "upgrade" | "hold" | "knock">;
}

/** What answers at one address. */
export type Listener = Bun.Server<SocketData>;

interface SocketData {
  readonly identity: Identity;
  connection?: Connection;
  /** As long as it is open, its address is one where somebody was let in. */
  presence?: Disposable;
  /** What WebSocket pings and pongs it may still send. */
  signs?: Allowance;
}

/** Answers at one address, by TLS where there are credentials. Throws `unavailable`, for one that is taken too. */
export function openListener(...what: Parameters<typeof prepareListener>): Listener {
  return prepareListener(...what)();
}

/** All of that but for taking the address, which the function that is answered does: in no time. */
export function prepareListener(
  address: ListenAddress,
  credentials: Credentials | undefined,
  options: ListenOptions,
): () => Listener {
  const { log, connections, openConnection, gate } = options;
  const isSecure = credentials !== undefined;
  const app = createApp({
    ...options.app,
    isSecure,
    upgrade: (request, identity) => server.upgrade(request, { data: { identity } }),
    knock(request) {
      const from = server.requestIP(request);
      return from === null && address.type === "tcp" ? undefined : gate.knock(request, from);
    },
    hold: (request) => server.timeout(request, 0),
  });
  // A throw in a socket's callback would end the process: each one is guarded.
  const guard = (handle: () => void) => {
    try {
      handle();
    } catch (error) {
      log.error("socket callback failed", { error: describeError(error) });
    }
  };
  const handlers: Handlers<SocketData> = {
    fetch: (request) => app.fetch(request),
    error(error) {
      log.error("request failed", { error: describeError(error) });
      return Response.json(toErrorBody(error), { status: 500, headers: GUARDS });
    },
    websocket: {
      maxPayloadLength: MAX_CONTROL_FRAME_BYTES,
      backpressureLimit: MAX_BACKPRESSURE_BYTES,
      closeOnBackpressureLimit: true,
      perMessageDeflate: false,
      // The session's own heartbeat decides; Bun's never notices a peer that is only sent to.
      idleTimeout: 0,
      sendPings: false,
      open: (socket) =>
        guard(() => {
          const connection = openConnection(toPeer(socket), socket.data.identity);
          socket.data.connection = connection;
          socket.data.presence = gate.enter(socket.data.identity.source);
          connections.add(connection);
        }),
      message: (socket, message) =>
        guard(() => {
          if (typeof message === "string") socket.data.connection?.receiveText(message);
          else socket.data.connection?.receiveBytes(message);
        }),
      ping: (socket) => guard(() => countSign(socket)),
      pong: (socket) => guard(() => countSign(socket)),
      drain: (socket) => guard(() => socket.data.connection?.drain()),
      close: (socket, code) =>
        guard(() => {
          socket.data.presence?.[Symbol.dispose]();
          if (socket.data.connection === undefined) return;
          connections.delete(socket.data.connection);
          socket.data.connection.disconnect(code === CLOSE.goodbye);
        }),
    },
  };
  let server: Listener;
  return () => {
    server = bind(address, credentials, handlers);
    if (isExposed(address) && server.port !== undefined) gate.watch(server.port);
    return server;
  };
}

/** Bun answers pings by itself, and would answer any number of them. */
function countSign(socket: Bun.ServerWebSocket<SocketData>): void {
  const signs = (socket.data.signs ??= new Allowance(MAX_SIGNS, SIGNS_TIME, () => performance.now()));
  if (!signs.take())
    socket.close(CLOSE.abused, `too_many: More than ${MAX_SIGNS} pings came within ${SIGNS_TIME} ms`);
}

function toPeer(socket: Bun.ServerWebSocket<SocketData>): Peer {
  return {
    // Bun answers 0 for what it dropped, which its limit turns into a closed connection: nothing is lost silently.
    sendText: (text) => void socket.sendText(text),
    sendBytes: (bytes) => void socket.sendBinary(bytes),
    queued: () => socket.getBufferedAmount(),
    close: (code, reason) => socket.close(code, reason),
  };
}
