import { homedir } from "node:os";
import * as v from "valibot";
import type { Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import { ModuleHash } from "../../protocol/task.ts";
import { Grants } from "../auth/grants.ts";
import { LOCAL } from "../auth/name.ts";
import { ADMIN } from "../auth/role.ts";
import type { Builder } from "../extensions/builder.ts";
import type { InitialTask } from "./initial-task.ts";
import type { Tasks, TaskUser } from "./tasks.ts";

interface Share {
  readonly builder: Pick<Builder, "build">;
  readonly tasks: Pick<Tasks, "begin">;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
}

/**
 * Has tasks as this machine's own user. Each is there when this resolves; that its `init` fails is logged, and told as of any
 * task. Throws `invalid_module` where there is no task in a file.
 */
export async function beginTasks(
  initial: readonly InitialTask[],
  { builder, tasks, environment, log }: Share,
  signal: AbortSignal,
): Promise<void> {
  const user: TaskUser = {
    identity: { owner: LOCAL, token: LOCAL, chain: [], source: "server", grants: new Grants([ADMIN]) },
    role: ADMIN,
    cwd: homedir,
    environment: () => environment,
    admit: async (program) => program,
  };
  for (const { name, file } of initial) {
    const { source, hash, description } = await builder.build(file, signal);
    if (description.task === undefined)
      throw new AppError("invalid_module", `Cannot use "${file}": it has no task in it`);
    const bundle = { source, hash: v.parse(ModuleHash, hash) };
    const isNew = await tasks.begin(name, bundle, user);
    log.info(isNew ? "task begun" : "task goes on", { task: name, file });
  }
}
