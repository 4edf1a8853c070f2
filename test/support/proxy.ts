import { Bell } from "../../src/lib/bell.ts";
import { type Faults, ProxyConnection } from "./proxy-connection.ts";
import { CLEAR, type Direction, type Transform, type Way } from "./lane.ts";

export interface ProxyOptions {
  /** Where to listen: 127.0.0.1 and a free port unless told otherwise. */
  readonly hostname?: string;
  readonly port?: number;
  /** Makes what turns the bytes of one direction of a connection into those that go on. */
  readonly transform?: (connection: number, direction: Direction) => Transform;
}

/**
 * A TCP proxy in front of a server, which spoils what passes at any time. Connections that lead to the server are counted
 * from 0. The way's conditions hold for all of them, and for those that come later.
 */
export interface Proxy extends AsyncDisposable {
  /** `host:port`, where clients connect. */
  readonly address: string;
  readonly port: number;
  /** Where new connections lead, as `host:port`. */
  target: string;
  /** All that ever came, oldest first. */
  readonly connections: readonly ProxyConnection[];
  /** The connection of that number, as soon as it leads to the server. */
  readonly connection: (index: number) => Promise<ProxyConnection>;
  /** From now on nothing passes, in one direction or both, and nobody is told. */
  readonly blackhole: (direction?: Direction) => void;
  /** Makes the way clear again in every respect: what was held comes first. */
  readonly heal: () => void;
  /** Delays, throttles, or clears the way in one direction or both. */
  readonly shape: (changes: Partial<Way>, direction?: Direction) => void;
  /** Ends every connection now, by FIN. */
  readonly cut: () => void;
  /** Resets every connection now: both sides see ECONNRESET. */
  readonly reset: () => void;
  /** Refuses new connections, as a port does where nobody listens, until told to accept them again. */
  readonly refuse: () => void;
  readonly accept: () => void;
}

/** What a socket of ours belongs to, as soon as both ends of that are connected. */
type Line = { connection?: ProxyConnection };

/** Opens a proxy. `faults` says what goes wrong with each connection by itself, or with the one of a number. */
export async function openProxy(
  target: string,
  faults: Faults | ((connection: number) => Faults) = {},
  { hostname = "127.0.0.1", port = 0, transform }: ProxyOptions = {},
): Promise<Proxy> {
  const connections: ProxyConnection[] = [];
  const clients = new Set<Bun.Socket<Line>>();
  const bell = new Bell();
  const ways: Record<Direction, Way> = { toServer: CLEAR, toClient: CLEAR };

  const lead = async (client: Bun.Socket<Line>) => {
    client.pause(); // what it says waits where it is
    clients.add(client);
    const server = await connect(proxy.target);
    if (server === undefined || !clients.has(client)) {
      server?.terminate();
      return client.terminate();
    }
    const index = connections.length;
    const connection = new ProxyConnection({ index, client, server }, ways, {
      faults: typeof faults === "function" ? faults(index) : faults,
      transform,
    });
    client.data.connection = connection;
    server.data.connection = connection;
    connections.push(connection);
    client.resume();
    server.resume();
    bell.ring();
  };
  const listen = (at: number) =>
    Bun.listen<Line>({
      hostname,
      port: at,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.data = {};
          void lead(socket);
        },
        ...toListeners("client"),
        close(socket, error) {
          clients.delete(socket);
          socket.data.connection?.closeEnd("client", error);
        },
      },
    });
  let listener: Bun.TCPSocketListener<Line> | undefined = listen(port);
  const own = listener.port;
  const living = () => connections.filter(({ isOpen }) => isOpen);
  const proxy: Proxy = {
    address: `${hostname.includes(":") ? `[${hostname}]` : hostname}:${own}`,
    port: own,
    target,
    connections,
    async connection(index) {
      for (;;) {
        const rung = bell.wait();
        const found = connections[index];
        if (found !== undefined) return found;
        await rung;
      }
    },
    blackhole: (direction) => proxy.shape({ isBlack: true }, direction),
    heal: () => proxy.shape(CLEAR),
    shape(changes, direction) {
      for (const one of direction === undefined ? DIRECTIONS : [direction]) {
        ways[one] = { ...ways[one], ...changes };
      }
      for (const connection of living()) connection.shape(changes, direction);
    },
    cut: () => living().forEach((connection) => connection.cut()),
    reset: () => living().forEach((connection) => connection.reset()),
    refuse() {
      listener?.stop();
      listener = undefined;
    },
    accept() {
      listener ??= listen(own);
    },
    async [Symbol.asyncDispose]() {
      proxy.refuse();
      for (const client of clients) client.terminate();
      for (const connection of connections) connection[Symbol.dispose]();
    },
  };
  return proxy;
}

const DIRECTIONS: readonly Direction[] = ["toServer", "toClient"];

/** The other half of a connection; undefined where nobody listens. */
async function connect(target: string): Promise<Bun.Socket<Line> | undefined> {
  const { hostname, port } = new URL(`tcp://${target}`);
  try {
    return await Bun.connect<Line>({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port),
      allowHalfOpen: true,
      data: {},
      socket: {
        // The connection that takes what it says is not made before this has happened.
        open: (socket) => void socket.pause(),
        ...toListeners("server"),
        close: (socket, error) => socket.data.connection?.closeEnd("server", error),
      },
    });
  } catch {
    return undefined; // the client is told by a reset
  }
}

function toListeners(end: "client" | "server") {
  return {
    data: ({ data }: Bun.Socket<Line>, chunk: Uint8Array) => data.connection?.take(end, chunk),
    end: ({ data }: Bun.Socket<Line>) => data.connection?.finishEnd(end),
    drain: ({ data }: Bun.Socket<Line>) => data.connection?.ring(),
    error: () => {}, // its close follows
  };
}

/** Cuts each connection after a random number of bytes; later ones may carry more, so that it comes to an end. */
export function cutAtRandom(most: number): (connection: number) => Faults {
  return (connection) => ({
    cutToServer: 400 + Math.floor(Math.random() * most * (1 + connection / 10)),
    cutToClient: 400 + Math.floor(Math.random() * most * (1 + connection / 10)),
    cutBy: connection % 2 === 0 ? "fin" : "reset",
  });
}
