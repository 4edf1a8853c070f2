import { type Connection, type Member, Pool } from "../../src/sdk.ts";
import { openWorld, type World } from "./world.ts";

/** A world with a server, and a connection of the SDK to it. */
export interface Connected extends AsyncDisposable {
  readonly world: World;
  readonly pool: Pool;
  readonly member: Member;
  readonly web1: Connection;
}

/** `prepare`: what is done before the server starts. */
export async function openConnected(prepare?: (world: World) => void): Promise<Connected> {
  const world = openWorld();
  prepare?.(world);
  await world.start();
  const { url, token } = world.local();
  const pool = new Pool({});
  const member = pool.add(url, { token });
  const web1 = await member.connect({ timeout: 20_000 });
  return {
    world,
    pool,
    member,
    web1,
    async [Symbol.asyncDispose]() {
      await pool.close();
      await world[Symbol.asyncDispose]();
    },
  };
}
