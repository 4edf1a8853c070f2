import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { testIf } from "./test-if.ts";
import { openWorld, type RunOptions, type World } from "./world.ts";

/** A user of the machine that no name has, and where nobody else's files are: one for each run of tests, which others go beside. */
const [uid, gid] = [1_000_000_000 + process.pid, 2_000_000_000 + process.pid];
export const ACCOUNT = { uid, gid, runAs: `${uid}:${gid}` } as const;

/** `test` where other users can be become. */
export const asRoot = testIf(
  process.platform === "linux" && process.getuid?.() === 0,
  "becoming another user takes root, and was written for Linux",
);

/** A world whose server has a role `other`, in which all is done as another user, and one who has it. */
export interface OtherWorld extends World {
  /** Where that user may do what he likes; the workspace of his that is used here begins there. */
  readonly room: string;
  /** Runs the client as one who has the role. */
  readonly other: (args: readonly string[], options?: RunOptions) => ReturnType<World["farhand"]>;
  /** The environment of such a client. */
  readonly asOther: () => Record<string, string>;
}

/** `role`: what its table says besides; `server`: the server's environment. */
export async function openOtherWorld(
  role: Readonly<Record<string, unknown>> = {},
  server: Readonly<Record<string, string>> = {},
): Promise<OtherWorld> {
  const world = openWorld();
  chmodSync(dirname(world.home), 0o755);
  const room = join(dirname(world.home), "room");
  mkdirSync(room);
  chownSync(room, ACCOUNT.uid, ACCOUNT.gid);
  const config = join(world.home, "farhandd.toml");
  const table = { permissions: ["read", "write", "exec", "power"], run_as: ACCOUNT.runAs, ...role };
  const lines = Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  writeFileSync(config, ["[roles.other]", ...lines, ""].join("\n"));
  const flags = ["--config", config];
  const started = await world.farhandd(["start", ...flags, "--listen", "127.0.0.1:0"], { env: server });
  if (started.code !== 0) throw new Error(`The server did not start: ${started.stderr}`);
  const made = await world.farhandd(["token", "create", "other", "--role", "other", "--json", ...flags]);
  if (made.code !== 0) throw new Error(`No token was made: ${made.stderr}`);
  const { token } = JSON.parse(made.stdout) as { token: string };
  const asOther = () => ({ FARHAND_TOKEN: token, FARHAND_HOST: world.local().url });
  const other: OtherWorld["other"] = (args, options = {}) =>
    world.farhand(args, { ...options, env: { ...asOther(), ...options.env } });
  await other(["cd", room]);
  // His jobs inherit nothing of the server's: without this they would outlive the world.
  await other(["env", `WORLD_MARK=${world.env["WORLD_MARK"]}`]);
  return { ...world, room, other, asOther };
}
