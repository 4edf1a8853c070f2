import { eventually } from "../support/eventually.ts";
import { OPCODE } from "../support/frame.ts";
import type { Random } from "../support/random.ts";
import type { PassingFrame, Verdict } from "../support/websocket-proxy.ts";
import { isRunning } from "../support/world.ts";
import type { Clients } from "./client.ts";
import type { Stage } from "./stage.ts";

/** Something that goes wrong for a while; when it resolves, it is over. */
interface Fault {
  readonly name: string;
  readonly strike: (random: Random) => Promise<void>;
}

export interface ChaosOptions {
  readonly stage: Stage;
  readonly clients: Clients;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Told of each fault that has struck. */
  readonly onFault: (name: string) => void;
}

/** Milliseconds of peace at most between two faults. */
const PEACE = 4_000;

/** Lets one fault after the other strike until the signal is aborted: one line of them for processes, one for the network. */
export async function wreakHavoc({ stage, clients, random, signal, onFault }: ChaosOptions): Promise<void> {
  const strike = async (faults: readonly Fault[]) => {
    while (!signal.aborted) {
      await Bun.sleep(random.between(100, PEACE));
      const { name, strike } = random.pick(faults);
      await strike(random);
      onFault(name);
    }
  };
  await Promise.all([
    strike([...clientFaults(clients), ...frontFaults(stage)]),
    strike(networkFaults(stage)),
  ]);
}

function clientFaults(clients: Clients): readonly Fault[] {
  const some = (random: Random) => (clients.running.length === 0 ? undefined : random.pick(clients.running));
  return [
    {
      name: "client killed",
      async strike(random) {
        const client = some(random);
        if (client !== undefined) clients.kill(client);
      },
    },
    {
      name: "client stopped",
      async strike(random) {
        const client = some(random);
        client?.kill("SIGSTOP");
        await Bun.sleep(random.between(500, 6_000));
        client?.kill("SIGCONT");
      },
    },
  ];
}

function frontFaults(stage: Stage): readonly Fault[] {
  return [
    {
      name: "front killed",
      async strike(random) {
        await stage.killFront();
        await Bun.sleep(random.whole(3_000));
        await stage.restart();
      },
    },
    {
      name: "front restarted",
      async strike() {
        const pid = stage.front();
        await stage.world.farhandd(["stop"]);
        await eventually(() => !isRunning(pid), 30_000);
        await stage.restart();
      },
    },
    {
      name: "front stopped",
      async strike(random) {
        process.kill(stage.front(), "SIGSTOP");
        await Bun.sleep(random.between(500, 6_000));
        process.kill(stage.front(), "SIGCONT");
      },
    },
  ];
}

function networkFaults({ proxy }: Stage): readonly Fault[] {
  const lasting = (name: string, begin: (random: Random) => void, longest: number): Fault => ({
    name,
    async strike(random) {
      begin(random);
      await Bun.sleep(random.between(300, longest));
      proxy.heal();
      proxy.accept();
      proxy.rule = () => "pass";
    },
  });
  return [
    { name: "connections reset", strike: async () => proxy.reset() },
    { name: "connections cut", strike: async () => proxy.cut() },
    lasting("black hole", () => proxy.blackhole(), 8_000),
    lasting("black hole one way", (random) => proxy.blackhole(random.pick(["toServer", "toClient"])), 8_000),
    lasting(
      "half-closed",
      (random) => {
        for (const connection of proxy.connections.filter(({ isOpen }) => isOpen))
          connection.halfClose(random.pick(["toServer", "toClient"]));
      },
      500,
    ),
    lasting("slow", (random) => proxy.shape({ bytesPerSecond: random.between(30_000, 2_000_000) }), 4_000),
    lasting("late", (random) => proxy.shape({ delay: random.whole(300), jitter: random.whole(200) }), 4_000),
    lasting("refused", () => proxy.refuse(), 4_000),
    lasting("frames harmed", (random) => (proxy.rule = (frame) => harm(frame, random)), 2_000),
  ];
}

/** Loses, doubles or swaps a frame now and then; one that is never said again is not lost, since no network does that. */
function harm({ opcode, json }: PassingFrame, random: Random): Verdict {
  if (random.next() > 0.02) return "pass";
  const isMissed = opcode === OPCODE.binary || json?.["seq"] !== undefined;
  return random.pick(isMissed ? (["drop", "duplicate", "swap"] as const) : (["duplicate", "swap"] as const));
}
