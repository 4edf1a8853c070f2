import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findStart } from "../../src/ledger/start.ts";
import { eventually } from "../support/eventually.ts";
import { openWebSocketProxy, type WebSocketProxy } from "../support/websocket-proxy.ts";
import { isRunning, openWorld, type World } from "../support/world.ts";

/** Milliseconds within which a server that is asked to start or stop has done so, however busy the machine is. */
const PATIENCE = 60_000;

/** A server, a proxy before it, and what clients need to reach it through that, again after each restart. */
export interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly proxy: WebSocketProxy;
  /** Of clients that go through the proxy. */
  readonly env: Readonly<Record<string, string>>;
  /** The front's pid. */
  readonly front: () => number;
  readonly keeper: () => number;
  /** Starts the server again after it has gone. */
  readonly restart: () => Promise<void>;
  /** Kills the front so that it cannot say a word. */
  readonly killFront: () => Promise<void>;
  /** Ids of the jobs that carry a mark: from the disk, so that no server need answer. */
  readonly findJobs: (mark: string) => readonly string[];
}

export async function openStage(): Promise<Stage> {
  const world = openWorld();
  const door = join(world.home, "door");
  mkdirSync(door);
  chmodSync(door, 0o700);
  // Shorter than some faults last: what outlives its session is tried, too, and nobody waits long for a client that was killed.
  const config = join(world.home, "farhandd.toml");
  writeFileSync(config, 'listen = "127.0.0.1:0"\nsession.grace = "5s"\n');
  const start = () => world.start("--config", config);
  let server = await start();
  const proxy = await openWebSocketProxy(String(server.listen[0]), undefined, { record: () => false });
  // The token differs after each start; a client looks for it beside the address, which stays the proxy's.
  const open = () => {
    proxy.target = String(server.listen[0]);
    const local = { ...world.local(), url: `http://${proxy.address}` };
    writeFileSync(join(door, "local.json"), JSON.stringify(local), { mode: 0o600 });
  };
  open();
  const known = new Map<string, string>();
  return {
    world,
    proxy,
    env: { ...world.env, FARHAND_STATE: door },
    front: () => server.pid,
    keeper: () => server.keepers[0]?.pid ?? 0,
    async restart() {
      server = await start();
      open();
    },
    async killFront() {
      process.kill(server.pid, "SIGKILL");
      await eventually(() => !isRunning(server.pid), PATIENCE);
    },
    findJobs(mark) {
      const ledgers = join(world.state, "ledgers");
      for (const id of readdirSync(ledgers)) {
        if (known.has(id)) continue;
        const start = findStart(join(ledgers, id));
        if (start !== undefined) known.set(id, String(start.argv.at(-1)));
      }
      return [...known].filter(([, last]) => last === mark).map(([id]) => id);
    },
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}
