import { join } from "node:path";

/** One machine of a network: what runs in it has a network stack of its own. */
export interface Machine {
  /** On the link between the two. */
  readonly address: string;
  /** Words to put before a command so that it runs there. */
  readonly inside: readonly string[];
}

/** Two machines with a link between them, made of network namespaces; Linux and root only. Disposing takes them apart. */
export interface Network extends AsyncDisposable {
  readonly server: Machine;
  readonly client: Machine;
  /** Takes the link down: what is sent is lost, and nobody is told. */
  readonly partition: () => void;
  readonly heal: () => void;
  /** Lets so many bits per second pass each way. */
  readonly limit: (bitsPerSecond: number) => void;
  /** Delays each packet by so many milliseconds each way, and loses some of them; where `findNetemFault` finds none. */
  readonly disturb: (options: { readonly delay: number; readonly lossPercent: number }) => void;
  /**
   * Forwards from loopback at the client to a port of loopback at the server, over the link; answers `host:port` for the
   * client. Farhand serves loopback only.
   */
  readonly forward: (port: number | string) => Promise<string>;
}

const SERVER = "10.99.0.1";
const CLIENT = "10.99.0.2";

/** Why there can be no network here, or undefined. */
export function findNetworkFault(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "network namespaces take root";
  if (Bun.which("ip") === null || Bun.which("tc") === null) return "there is no ip(8) or no tc(8)";
  return tryOut(() => {});
}

/** Why packets cannot be delayed or lost on purpose, or undefined. Networks themselves must be possible. */
export function findNetemFault(): string | undefined {
  return tryOut((network) => network.disturb({ delay: 1, lossPercent: 0 }));
}

function tryOut(use: (network: Network) => void): string | undefined {
  try {
    const network = openNetwork();
    try {
      use(network);
    } finally {
      void network[Symbol.asyncDispose](); // nothing runs in it, so that it ends at once
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export function openNetwork(): Network {
  const name = `fh${crypto.randomUUID().slice(0, 8)}`;
  const [server, client] = [`${name}s`, `${name}c`];
  const ends = [
    { space: server, address: SERVER },
    { space: client, address: CLIENT },
  ];
  const forwarders: Bun.Subprocess[] = [];
  const inside = (space: string) => ["ip", "netns", "exec", space];
  const shape = (...words: string[]) => {
    for (const { space } of ends) run("tc", "-n", space, "qdisc", "replace", "dev", space, "root", ...words);
  };
  const remove = () => {
    for (const { space } of ends) Bun.spawnSync(["ip", "netns", "del", space]);
  };
  const start = async (space: string, from: string, to: string) => {
    const child = Bun.spawn(
      [...inside(space), process.execPath, join(import.meta.dir, "forward.ts"), from, to],
      {
        stdout: "pipe",
        stdin: "ignore",
        stderr: "inherit",
      },
    );
    forwarders.push(child);
    for await (const line of child.stdout) return new TextDecoder().decode(line).trim();
    throw new Error(`No forwarder from ${from} to ${to}`);
  };
  try {
    for (const { space } of ends) run("ip", "netns", "add", space);
    run("ip", "-n", server, "link", "add", server, "type", "veth", "peer", "name", client, "netns", client);
    for (const { space, address } of ends) {
      run("ip", "-n", space, "address", "add", `${address}/24`, "dev", space);
      run("ip", "-n", space, "link", "set", "lo", "up");
      run("ip", "-n", space, "link", "set", space, "up");
    }
  } catch (error) {
    remove();
    throw error;
  }
  return {
    server: { address: SERVER, inside: inside(server) },
    client: { address: CLIENT, inside: inside(client) },
    partition: () => run("ip", "-n", server, "link", "set", server, "down"),
    heal: () => run("ip", "-n", server, "link", "set", server, "up"),
    // A queue of 64 KiB, as a modem's: what is sent and not yet through waits there.
    limit: (bitsPerSecond) => shape("tbf", "rate", `${bitsPerSecond}bit`, "burst", "1600", "limit", "65536"),
    disturb: ({ delay, lossPercent }) => shape("netem", "delay", `${delay}ms`, "loss", `${lossPercent}%`),
    async forward(port) {
      const over = await start(server, `${SERVER}:0`, `127.0.0.1:${port}`);
      return await start(client, "127.0.0.1:0", over);
    },
    async [Symbol.asyncDispose]() {
      for (const forwarder of forwarders) forwarder.kill("SIGKILL");
      await Promise.all(forwarders.map(({ exited }) => exited));
      remove();
    },
  };
}

/** Throws what the command complains of. */
function run(...argv: string[]): void {
  const { success, stderr } = Bun.spawnSync(argv);
  if (!success) throw new Error(`${argv.join(" ")}: ${stderr.toString().trim()}`);
}
