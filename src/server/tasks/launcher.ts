import { join } from "node:path";
import type { Program } from "../../commands/define.ts";
import type { Budget } from "../../lib/budget.ts";
import type { Log } from "../../lib/log.ts";
import type { Again } from "../../process/again.ts";
import type { JobId } from "../../protocol/id.ts";
import { DEFAULT_KEEP_BYTES, MAX_DATA_BYTES } from "../../protocol/limits.ts";
import type { ModuleHash } from "../../protocol/task.ts";
import { encodeOrder } from "../../runner/order.ts";
import { Grants } from "../auth/grants.ts";
import { type Identity, TASK_COMMAND } from "../auth/identity.ts";
import { toRunnerEnvironment } from "../environment.ts";
import type { Job } from "../jobs/job.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Logins } from "../logins/logins.ts";
import type { Modules } from "./modules.ts";
import type { TaskRecord, TaskStore } from "./store.ts";

export interface LauncherOptions {
  readonly state: string;
  readonly jobs: Pick<Jobs, "start" | "find" | "access">;
  readonly logins: Pick<Logins, "find">;
  /** Runs this executable as the runner of a job. */
  readonly runner: Again;
  /** What programs inherit from the server. */
  readonly environment: Readonly<Record<string, string>>;
  /** Bytes of modules on their way to keepers. */
  readonly orders: Budget;
  readonly store: TaskStore;
  readonly modules: Modules;
  readonly log: Log;
  /** A process of a task has died, and another was started by the server itself. */
  readonly onRestarted: (record: TaskRecord) => void;
}

/** Of whoever goes on by himself: those before him do too, and each has room in the end. */
const UNENDING = new AbortController().signal;

/** What all tasks need of the server: it starts their processes, finds them again, and ends them. */
export class Launcher {
  readonly ledgers: string;
  /** Room to read ledgers into, for whoever has his turn. */
  readonly buffer = new Uint8Array(MAX_DATA_BYTES);
  readonly #options: LauncherOptions;

  constructor(options: LauncherOptions) {
    this.#options = options;
    this.ledgers = join(options.state, "ledgers");
  }

  get store(): TaskStore {
    return this.#options.store;
  }

  get modules(): Modules {
    return this.#options.modules;
  }

  /** The server itself has started a process in the place of one that died. */
  onRestarted(record: TaskRecord): void {
    this.#options.onRestarted(record);
  }

  get log(): Log {
    return this.#options.log;
  }

  /** Starts the job of a record, with the state that was saved last if there is one. Throws `unknown_module`, `too_many`. */
  async launch(record: TaskRecord): Promise<Job> {
    const { jobs, logins, orders, store, modules } = this.#options;
    const bytes = modules.measure(record.module) + store.measureOrder(record);
    using _room = await orders.take(bytes, UNENDING);
    const login = record.runAs === undefined ? undefined : await logins.find(record.runAs);
    return await jobs.start({
      job: record.job,
      holder: record.holder,
      command: TASK_COMMAND,
      identity: toIdentity(record),
      role: { name: record.role.name, limits: { jobs: record.role.jobs } },
      program: await this.#toProgram(record),
      user: login?.credentials,
    });
  }

  /** Throws `unknown_module`. */
  async demand(module: ModuleHash): Promise<void> {
    const { orders, modules } = this.#options;
    using _room = await orders.take(modules.measure(module), UNENDING);
    await modules.read(module);
  }

  find(job: JobId): Job | undefined {
    return this.#options.jobs.find(job);
  }

  /** Has the server hold a job again that it held before it was started anew. */
  hold({ start: { job }, keeper }: Job, { holder }: TaskRecord): void {
    keeper?.send({ type: "attach", job, holder, position: 0 });
  }

  /** Ends a job at once, also one whose keeper is gone. */
  async kill(record: TaskRecord): Promise<void> {
    await this.#options.jobs.access(toIdentity(record)).cancel(record.job, "SIGKILL", 0);
  }

  async #toProgram(record: TaskRecord): Promise<Program> {
    const { runner, environment, store, modules } = this.#options;
    const { name: task, caller, saved, checkpoint, cwd, exact, limits } = record;
    const { set, unset } = record.environment;
    const order = encodeOrder({
      order: { type: "task", task, caller, isRestored: saved !== undefined, savesAlways: checkpoint },
      module: await modules.read(record.module),
      payload: saved === undefined ? await store.readArgs(task) : await store.readState(task),
    });
    const [file = "", ...words] = runner.argv;
    return {
      argv: [runner.argv0, ...words],
      recorded: ["task", task],
      file,
      cwd,
      ...(exact && { exact }),
      env: toRunnerEnvironment({ ...without(environment, unset), ...set }),
      stdin: true,
      merge: false,
      keepBytes: DEFAULT_KEEP_BYTES,
      order,
      terms: { labels: { task }, ...(limits && { limits }) },
    };
  }
}

/** Where an environment is not the server's own. */
export function toDifference(
  env: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>>,
): TaskRecord["environment"] {
  return {
    set: Object.fromEntries(Object.entries(env).filter(([name, value]) => own[name] !== value)),
    unset: Object.keys(own).filter((name) => !Object.hasOwn(env, name)),
  };
}

/** Whoever started it, as far as it is known when he is not there: he owns what it becomes, and may do nothing else. */
function toIdentity({ owner, via, caller }: TaskRecord): Identity {
  return { owner, token: "task", chain: via, source: caller.source, grants: new Grants([]) };
}

function without(env: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.includes(name)));
}
