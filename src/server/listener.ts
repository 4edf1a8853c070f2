import { after } from "../lib/abort.ts";
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
import { type AppOptions, createApp } from "./app.ts";
import { Allowance } from "./gate/allowance.ts";
import type { Gate } from "./gate/gate.ts";
import { DEFAULT_PORT, formatAddress, isLoopback, type ListenAddress } from "./listen.ts";
import type { Connection, Peer } from "./session/connection.ts";

/** Milliseconds that a stopping server gives to connections that are still being closed. */
const DRAIN_TIME = 500;

/** Bytes that Bun may queue for one connection; credit keeps it far below, so reaching it is a broken client. */
const MAX_BACKPRESSURE_BYTES = 4 * OUTPUT_WINDOW_BYTES;

export interface ListenOptions {
  readonly log: Log;
  readonly connections: Set<Connection>;
  readonly openConnection: (peer: Peer, identity: Identity) => Connection;
  readonly gate: Gate;
  readonly app: Omit<AppOptions, "upgrade" | "hold" | "knock" | "toSource">;
}

interface SocketData {
  readonly identity: Identity;
  connection?: Connection;
  /** As long as it is open, its address is one where somebody was let in. */
  presence?: Disposable;
  /** What WebSocket pings and pongs it may still send. */
  signs?: Allowance;
}

/** Opens every address. Throws `unavailable` when one is taken; without IPv6 the default is IPv4 alone. */
export function listen(
  wanted: readonly ListenAddress[] | undefined,
  options: ListenOptions,
): AsyncDisposable & { addresses: string[] } {
  const servers: Bun.Server<SocketData>[] = [];
  try {
    for (const address of wanted ?? [{ host: "127.0.0.1", port: DEFAULT_PORT }])
      servers.push(openListener(address, options));
  } catch (error) {
    for (const server of servers) server.stop(true);
    throw error;
  }
  if (wanted === undefined) {
    try {
      servers.push(openListener({ host: "::1", port: DEFAULT_PORT }, options));
    } catch (error) {
      options.log.warn("not listening on IPv6", { error: describeError(error) });
    }
  }
  return {
    addresses: servers.map(({ hostname = "", port = 0 }) => formatAddress({ host: hostname, port })),
    // Requests under way get their answers; whoever does not take them in time is cut off.
    [Symbol.asyncDispose]: async () => {
      const late = Promise.withResolvers<void>();
      using _limit = after(DRAIN_TIME, late.resolve);
      await Promise.race([Promise.all(servers.map((server) => server.stop())), late.promise]);
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

function openListener(address: ListenAddress, options: ListenOptions): Bun.Server<SocketData> {
  const { log, connections, openConnection, gate } = options;
  const app = createApp({
    ...options.app,
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
  const server: Bun.Server<SocketData> = startServer(address, {
    fetch: (request) => app.fetch(request),
    error(error) {
      log.error("request failed", { error: describeError(error) });
      return Response.json(toErrorBody(error), { status: 500 });
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
  if (!isLoopback(address.host) && server.port !== undefined) gate.watch(server.port);
  return server;
}

/** Bun answers pings by itself, and would answer any number of them. */
function countSign(socket: Bun.ServerWebSocket<SocketData>): void {
  const signs = (socket.data.signs ??= new Allowance(MAX_SIGNS, SIGNS_TIME, () => performance.now()));
  if (!signs.take())
    socket.close(CLOSE.abused, `too_many: More than ${MAX_SIGNS} pings came within ${SIGNS_TIME} ms`);
}

type Handlers = Pick<Bun.Serve.Options<SocketData>, "error" | "fetch" | "websocket">;

function startServer({ host, port }: ListenAddress, handlers: Handlers): Bun.Server<SocketData> {
  try {
    return Bun.serve({
      ...handlers,
      hostname: host,
      port,
      // On Linux it is shared otherwise: a second server would take every other connection of the first.
      reusePort: false,
      maxRequestBodySize: MAX_BODY_BYTES,
      development: false,
    } as Bun.Serve.Options<SocketData>);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const address = formatAddress({ host, port });
    const code = "code" in error ? String(error.code) : "";
    const owner = code === "EADDRINUSE" ? findPortOwner(port) : undefined;
    const who = owner === undefined ? "" : ` by ${owner.name} with pid ${owner.pid}`;
    const advice = "choose another with --listen";
    const why: Record<string, string> = {
      EADDRINUSE: `the port is in use${who}; ${advice}`,
      EACCES: `ports so low are for root, or for who has CAP_NET_BIND_SERVICE; ${advice}`,
    };
    throw new AppError("unavailable", `Cannot listen on ${address}: ${why[code] ?? error.message}`, {
      cause: error,
    });
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
