import { homedir } from "node:os";
import { resolve } from "node:path";
import * as v from "valibot";
import { abortable } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import { ModuleHash, TaskName } from "../../protocol/task.ts";
import { Grants } from "../auth/grants.ts";
import { LOCAL } from "../auth/name.ts";
import { ADMIN } from "../auth/role.ts";
import type { Builder } from "../extensions/builder.ts";
import type { Tasks, TaskUser } from "./tasks.ts";

/** Milliseconds for which a server waits for its own tasks before it listens. */
const PATIENCE = 5_000;

/** A task that a server starts with itself. */
export interface OwnTask {
  readonly name: TaskName;
  /** Absolute. */
  readonly file: string;
}

/** Reads `name=module.ts`. Throws `invalid_config`. */
export function parseOwnTask(text: string): OwnTask {
  const [, word = "", file = ""] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  const name = v.safeParse(TaskName, word);
  const refuse = (why: string) => new AppError("invalid_config", `Cannot use --task "${text}": ${why}`);
  if (file === "") throw refuse("write name=file, such as counter=counter.ts");
  if (!name.success) throw refuse(`"${word}" ${name.issues[0].message}`);
  return { name: name.output, file: resolve(file) };
}

export interface OwnTasksOptions {
  readonly tasks: Tasks;
  readonly builder: Pick<Builder, "build">;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
}

/**
 * Starts the tasks that a server was started with. One that runs already is left alone if its module is the same, and swapped if
 * not. Resolves when their `init`s have returned, or are taking too long. Throws `invalid_module`, which names the place; whatever
 * else keeps one from starting is logged.
 */
export async function startOwn(
  all: readonly OwnTask[],
  { tasks, builder, environment, log }: OwnTasksOptions,
  signal: AbortSignal,
): Promise<void> {
  const user = toUser(environment);
  const access = tasks.access(user);
  for (const { name, file } of all) {
    const { source, hash } = await builder.build(file, signal);
    const module = v.parse(ModuleHash, hash);
    await access.keepModule({ hash: module, bytes: source.length }, once(source), signal);
    const known = access.list().find((task) => task.name === name);
    const isUp = known !== undefined && known.state !== "stopped" && known.state !== "failed";
    if (isUp && known.module === module) continue;
    const started = access.start(
      {
        ...{ name, module, args: { input: once(new Uint8Array(0)) }, job: undefined, limits: undefined },
        ...{ replace: true, restart: "on-failure", checkpoint: false },
      },
      signal,
    );
    const settled = started.then(
      ({ job }) => log.info("task started", { task: name, job: job?.number }),
      (error: unknown) => log.error("task not started", { task: name, file, error: describeError(error) }),
    );
    await abortable(settled, AbortSignal.timeout(PATIENCE)).catch(() => {}); // it goes on by itself
  }
}

/** Whoever has started the server. */
function toUser(environment: Readonly<Record<string, string>>): TaskUser {
  return {
    identity: { owner: LOCAL, token: "server", chain: [], source: "server", grants: new Grants([ADMIN]) },
    role: ADMIN,
    cwd: homedir,
    environment: () => environment,
    admit: async (program) => program,
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  if (bytes.length > 0) yield bytes;
}
