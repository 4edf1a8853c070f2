import { describeError, type Log } from "../lib/log.ts";
import { findPortOwner } from "../process/port.ts";
import { CLOSE } from "../protocol/close.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import {
  MAX_BODY_BYTES,
  MAX_CONTROL_FRAME_BYTES,
  MAX_SIGNS,
  OUTPUT_WINDOW_BYTES,
  SIGNS_TIME,
} from "../protocol/limits.ts";
import type { Identity } from "./auth/identity.ts";
import { type AppOptions, createApp, toGuards } from "./app.ts";
import { Allowance } from "./gate/allowance.ts";
import type { Gate } from "./gate/gate.ts";
import { formatAddress, isExposed, type ListenAddress } from "./listen.ts";
import type { Connection, Peer } from "./session/connection.ts";
import { checkPrivate, openPrivately } from "./socket.ts";
import type { Credentials } from "./tls/tls.ts";

/** Bytes that Bun may queue for one connection; credit keeps it far below, so reaching it is a broken client. */
const MAX_BACKPRESSURE_BYTES = 4 * OUTPUT_WINDOW_BYTES;

export interface ListenOptions {
  readonly log: Log;
  readonly connections: Set<Connection>;
  readonly openConnection: (peer: Peer, identity: Identity) => Connection;
  readonly gate: Gate;
  readonly app: Omit<AppOptions, "isSecure" | "upgrade" | "hold" | "knock" | "toSource">;
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
export function openListener(
  address: ListenAddress,
  credentials: Credentials | undefined,
  options: ListenOptions,
): Listener {
  const { log, connections, openConnection, gate } = options;
  const isSecure = credentials !== undefined;
  const app = createApp({
    ...options.app,
    isSecure,
    upgrade: (request, identity) => server.upgrade(request, { data: { identity } }),
    toSource: (request) => server.requestIP(request)?.address ?? "unix",
    knock: (request) => gate.knock(request, server.requestIP(request)),
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
  const server: Listener = startServer(address, credentials, {
    fetch: (request) => app.fetch(request),
    error(error) {
      log.error("request failed", { error: describeError(error) });
      return Response.json(toErrorBody(error), { status: 500, headers: toGuards(isSecure) });
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
  });
  if (isExposed(address) && server.port !== undefined) gate.watch(server.port);
  return server;
}

/** Bun answers pings by itself, and would answer any number of them. */
function countSign(socket: Bun.ServerWebSocket<SocketData>): void {
  const signs = (socket.data.signs ??= new Allowance(MAX_SIGNS, SIGNS_TIME, () => performance.now()));
  if (!signs.take())
    socket.close(CLOSE.abused, `too_many: More than ${MAX_SIGNS} pings came within ${SIGNS_TIME} ms`);
}

type Handlers = Pick<Bun.Serve.Options<SocketData>, "error" | "fetch" | "websocket">;

function startServer(
  address: ListenAddress,
  credentials: Credentials | undefined,
  handlers: Handlers,
): Listener {
  const options = {
    ...handlers,
    maxRequestBodySize: MAX_BODY_BYTES,
    development: false,
    ...(credentials && { tls: toTlsOptions(credentials) }),
  };
  try {
    if (address.type === "unix") {
      const { path } = address;
      const server = openPrivately(() =>
        Bun.serve({ ...options, unix: path } as Bun.Serve.Options<SocketData>),
      );
      checkPrivate(path);
      return server;
    }
    return Bun.serve({
      ...options,
      hostname: address.host,
      port: address.port,
      ipv6Only: address.isIPv6Only ?? false,
      // On Linux it is shared otherwise: a second server would take every other connection of the first.
      reusePort: false,
    } as Bun.Serve.Options<SocketData>);
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    throw new AppError(
      "unavailable",
      `Cannot listen on ${formatAddress(address)}: ${explain(error, address)}`,
      {
        cause: error,
      },
    );
  }
}

/** Bun speaks TLS 1.2 and 1.3, and nothing older. */
function toTlsOptions({ cert, key, clientCa }: Credentials): Bun.TLSOptions {
  if (clientCa === undefined) return { cert, key };
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}

function explain(error: Error, address: ListenAddress): string {
  const code = "code" in error ? String(error.code) : "";
  const advice = "choose another with --listen";
  switch (code) {
    case "EADDRINUSE": {
      const owner = address.type === "tcp" ? findPortOwner(address.port) : undefined;
      const who = owner === undefined ? "" : ` by ${owner.name} with pid ${owner.pid}`;
      return `the ${address.type === "tcp" ? "port" : "path"} is in use${who}; ${advice}`;
    }
    case "EACCES":
      return address.type === "tcp"
        ? `ports so low are for root, or for who has CAP_NET_BIND_SERVICE; ${advice}`
        : "its directory may not be written to";
    case "EADDRNOTAVAIL":
      return `this machine has no such address; ${advice}`;
    case "ENAMETOOLONG":
      return "the path is too long for a socket (107 bytes at most)";
    case "ENOENT":
      return "its directory does not exist";
    default:
      return error.message;
  }
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
