import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTarget } from "../../src/client/config.ts";
import { dial } from "../../src/client/dial.ts";
import type { Session } from "../../src/client/session.ts";
import { AppError } from "../../src/protocol/error.ts";
import type { Ran, RunOptions, World } from "./world.ts";
import { openWorld } from "./world.ts";

/** A world whose server lets in several, each with tokens of his own. */
export interface Callers extends AsyncDisposable {
  readonly world: World;
  /** Makes a token with these roles. */
  readonly createToken: (user: string, ...roles: readonly string[]) => Promise<string>;
  /** Narrows a token as the command line does. */
  readonly narrow: (token: string, ...args: readonly string[]) => Promise<string>;
  /** Opens a session with a token. */
  readonly open: (token: string) => Promise<Session>;
  /** Runs the client with a token. */
  readonly farhandAs: (token: string, args: readonly string[], options?: RunOptions) => Promise<Ran>;
  /** Stops the server and starts another with the same configuration. */
  readonly restart: () => Promise<void>;
  /** Has the server read another configuration while it runs. */
  readonly reload: (config: string) => Promise<void>;
}

/** `config`: the server's configuration, in TOML. `prepare`: what is done before it starts. */
export async function openCallers(config: string, prepare?: (world: World) => void): Promise<Callers> {
  const world = openWorld();
  prepare?.(world);
  const path = join(world.home, "farhandd.toml");
  const write = (config: string) => writeFileSync(path, `listen = "127.0.0.1:0"\n${config}`);
  write(config);
  const start = () => world.start("--config", path);
  await start();
  const sessions: Session[] = [];
  const must = ({ code, stdout, stderr }: Ran) => {
    if (code !== 0) throw new Error(`It ended with ${code}: ${stderr}`);
    return stdout.trim();
  };
  return {
    world,
    createToken: async (user, ...roles) =>
      must(
        await world.farhandd([
          ...["token", "create", crypto.randomUUID(), "--user", user, "--config", path],
          ...roles.flatMap((role) => ["--role", role]),
        ]),
      ),
    narrow: async (token, ...args) =>
      must(await world.farhand(["token", "narrow", ...args], { env: { FARHAND_TOKEN: token } })),
    open: async (token) => {
      const place = { host: world.local().url, token };
      const session = await dial(() => findTarget(place, {}), { signal: new AbortController().signal });
      await session.welcome;
      sessions.push(session);
      return session;
    },
    farhandAs: (token, args, options) =>
      world.farhand(args, { ...options, env: { ...options?.env, FARHAND_TOKEN: token } }),
    restart: async () => {
      must(await world.farhandd(["stop"]));
      await start();
    },
    reload: async (config) => {
      write(config);
      must(await world.farhandd(["reload"]));
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions) await session[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** The code and the sentence with which something is refused. Throws when it is not. */
export async function refusalOf(act: Promise<unknown>): Promise<string> {
  try {
    await act;
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error("Nothing was refused");
}
