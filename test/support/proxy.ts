import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** What goes wrong on the way. Counts are of one connection, and the last byte counted still arrives. */
export interface Faults {
  /** Bytes from the client after which both sides are cut off. */
  readonly cutToServer?: number;
  /** Bytes from the server after which both sides are cut off. */
  readonly cutToClient?: number;
}

/** A TCP proxy on a free port, in front of a server of this machine. */
export interface Proxy extends AsyncDisposable {
  /** `host:port`, where clients connect. */
  readonly address: string;
  /** Cuts every connection now. */
  readonly cut: () => void;
  /** From now on nothing passes in either direction, and nobody is told. */
  readonly blackhole: () => void;
}

export async function openProxy(target: string, faults: Faults = {}): Promise<Proxy> {
  const { hostname, port } = new URL(`tcp://${target}`);
  const sockets = new Set<Socket>();
  let isBlack = false;

  const pass = (from: Socket, to: Socket, limit: number) => {
    let left = limit;
    from.on("data", (chunk: Buffer) => {
      if (isBlack) return;
      const part = chunk.subarray(0, left);
      left -= part.length;
      const done = left > 0 ? undefined : () => [from, to].forEach((socket) => socket.destroy());
      if (to.write(part, done)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
    from.on("end", () => isBlack || to.end());
    from.on("close", () => isBlack || to.destroy());
    from.on("error", () => {}); // its close follows
    sockets.add(from);
    from.on("close", () => sockets.delete(from));
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    pass(client, upstream, faults.cutToServer ?? Number.POSITIVE_INFINITY);
    pass(upstream, client, faults.cutToClient ?? Number.POSITIVE_INFINITY);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // An address is text only for a server on a Unix socket.
  const { port: own } = server.address() as AddressInfo;
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return {
    address: `127.0.0.1:${own}`,
    cut,
    blackhole: () => {
      isBlack = true;
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
