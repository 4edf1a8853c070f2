import { join } from "node:path";
import type { TaskAccess, TaskStart } from "../../commands/access/tasks.ts";
import type { Program } from "../../commands/define.ts";
import { describeError } from "../../lib/log.ts";
import type { Caller } from "../../module/caller.ts";
import { AppError } from "../../protocol/error.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import type { HolderId, JobId } from "../../protocol/id.ts";
import { DEFAULT_GRACE, DEFAULT_KEEP_BYTES, MAX_TASKS } from "../../protocol/limits.ts";
import type { ExecutionWait, ModuleHash, TaskName } from "../../protocol/task.ts";
import { type Identity, isVisible } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import { Collector, toArgs } from "./args.ts";
import type { Args, Execution } from "./execution.ts";
import { Launcher, type LauncherOptions, toDifference } from "./launcher.ts";
import { Modules } from "./modules.ts";
import { report, tellAnswer } from "./report.ts";
import { type TaskRecord, TaskStore } from "./store.ts";
import { Task } from "./task.ts";

/** Who uses tasks, and how programs of his are started. */
export interface TaskUser {
  readonly identity: Identity;
  readonly role: Role;
  /** What the workspace gives a program. */
  readonly cwd: () => string;
  readonly environment: () => Readonly<Record<string, string>>;
  /** A program as it may be run for him. Throws `forbidden`. */
  readonly admit: (program: Program) => Promise<Program>;
}

/** A module as it is kept. */
export interface Bundle {
  /** UTF-8. */
  readonly source: Uint8Array;
  readonly hash: ModuleHash;
}

export type TasksOptions = Omit<LauncherOptions, "store" | "modules">;

/** The tasks of this server, by name. */
export class Tasks implements Disposable {
  readonly #tasks = new Map<TaskName, Task>();
  /** Names of which a task is just being made. */
  readonly #making = new Set<TaskName>();
  readonly #collector = new Collector();
  readonly #launcher: Launcher;
  readonly #environment: Readonly<Record<string, string>>;

  constructor(options: TasksOptions) {
    const { state, environment } = options;
    this.#environment = environment;
    const modules = new Modules(join(state, "modules"), () =>
      this.#list().map(({ life }) => life.record.module),
    );
    this.#launcher = new Launcher({ ...options, store: new TaskStore(join(state, "tasks")), modules });
  }

  /** Goes on with what a server before us has left; to be called first, and when jobs are known. */
  adopt(): void {
    for (const record of this.#launcher.store.load(this.#launcher.log))
      this.#tasks.set(record.name, new Task(record, this.#launcher, Date.now()));
    for (const task of this.#list()) task.life.adopt();
  }

  access(user: TaskUser): TaskAccess {
    const { ledgers, modules } = this.#launcher;
    const collector = this.#collector;
    const tell = (task: Task, execution: Execution, wait: ExecutionWait, signal: AbortSignal) =>
      report(ledgers, { execution, restarts: task.life.record.restarts }, wait, signal);
    const find = (name: TaskName) => this.#find(name, user.identity);
    return {
      keepModule: (module, content) => modules.keep(module, content),
      start: async (start, signal) => (await this.#start(start, user, signal)).summarize(),
      async *execute({ task: name, execution: id, args, wait }, signal) {
        const task = find(name);
        const accept = (given: Args) => task.accept(id, given, signal);
        // Whoever does not wait does not send either, when it is wanted.
        const demand = (bytes: number) => task.demand(id, bytes);
        const execution = await (wait === "queued"
          ? collector.collect(args, signal, accept, demand)
          : accept(toArgs(args)));
        return yield* tell(task, execution, wait, signal);
      },
      async *inquire({ task: name, execution: id, wait }, signal) {
        const task = find(name);
        return yield* tell(task, await task.find(id, signal), wait, signal);
      },
      async *stop({ task: name, execution: id, args, grace }, signal) {
        const task = find(name);
        const stop = (given: Uint8Array) => task.life.stop({ args: given, grace, id });
        const { end, dropped, job, answer } = await collector.collect(args, signal, stop);
        return { name, job, end, dropped, ...(yield* tellAnswer(ledgers, answer)) };
      },
      restart: async (name, grace) => {
        const task = find(name);
        await task.life.restart(grace);
        return task.summarize();
      },
      list: () =>
        this.#list()
          .filter(({ life }) => isVisible(life.record, user.identity))
          .map((task) => task.summarize())
          .toSorted((one, other) => (one.name < other.name ? -1 : 1)),
      show: (name) => find(name).describe(),
    };
  }

  /**
   * Has a task of the server's own, and answers whether it is a new one: that of this name goes on if it runs this bundle, and
   * is replaced otherwise. What its `init` throws is logged.
   */
  async begin(name: TaskName, { source, hash }: Bundle, user: TaskUser): Promise<boolean> {
    const { modules, log } = this.#launcher;
    const known = this.#tasks.get(name);
    if (known?.isUp && known.life.record.module === hash) return false;
    const upload = { hash, bytes: source.length };
    await modules.keep(
      upload,
      (async function* () {
        yield source;
      })(),
    );
    const terms = { job: undefined, restart: "on-failure", checkpoint: false, limits: undefined } as const;
    const task = await this.#make({ name, module: hash, ...terms }, encodeValue(undefined), user);
    task.life.start().catch((error: unknown) => {
      log.error("a task cannot begin", { task: name, error: describeError(error) });
    });
    return true;
  }

  [Symbol.dispose](): void {
    for (const task of this.#list()) task.life.leave();
  }

  async #start(start: TaskStart, user: TaskUser, signal: AbortSignal): Promise<Task> {
    const place = (args: Uint8Array) => this.#place(start, args, user);
    const demand = () => void this.#findSame(start, user);
    const { task, isNew } = await this.#collector.collect(start.args, signal, place, demand);
    await (isNew ? task.life.start() : task.life.process?.ready);
    return task;
  }

  /** What is asked for, if it is there already; or a new task, that is not started yet. */
  async #place(
    start: TaskStart,
    args: Uint8Array,
    user: TaskUser,
  ): Promise<{ readonly task: Task; readonly isNew: boolean }> {
    const same = this.#findSame(start, user);
    if (same !== undefined) return { task: same, isNew: false };
    return { task: await this.#make(start, args, user), isNew: true };
  }

  /** The task that was started by this very call, if it is up. Throws `already_started`. */
  #findSame({ name, job, replace }: TaskStart, user: TaskUser): Task | undefined {
    const known = this.#tasks.get(name);
    const isMine = known !== undefined && isVisible(known.life.record, user.identity);
    if (known?.isUp && isMine && job !== undefined && this.#wasStartedAs(known, job)) return known;
    if (this.#making.has(name) || (known?.isUp && !(replace && isMine))) throw taken(name);
    return undefined;
  }

  /** A task that is not started yet, in the place of what was there. */
  async #make(start: Omit<TaskStart, "args" | "replace">, args: Uint8Array, user: TaskUser): Promise<Task> {
    const { name } = start;
    const known = this.#tasks.get(name);
    this.#making.add(name);
    try {
      await this.#launcher.demand(start.module); // before anything is stopped for it
      const record = await this.#toRecord(start, user);
      if (known?.isUp)
        await known.life.stop({ args: encodeValue(undefined), grace: DEFAULT_GRACE }).catch(() => {}); // its exit's own affair
      await this.#makeRoom(name);
      await this.#launcher.store.removeState(name);
      await this.#launcher.store.saveArgs(name, args);
      const task = new Task(record, this.#launcher, 0);
      this.#tasks.set(name, task);
      return task;
    } finally {
      this.#making.delete(name);
    }
  }

  #wasStartedAs({ life: { record } }: Task, job: JobId): boolean {
    return (record.former.at(-1) ?? record.job) === job;
  }

  async #toRecord(
    start: Omit<TaskStart, "args" | "replace">,
    { identity, role, cwd, environment, admit }: TaskUser,
  ): Promise<TaskRecord> {
    const { name, module, job, restart, checkpoint, limits } = start;
    const program = await admit({
      argv: ["task", name],
      file: process.execPath,
      cwd: cwd(),
      env: environment(),
      stdin: true,
      merge: false,
      keepBytes: DEFAULT_KEEP_BYTES,
      terms: limits === undefined ? {} : { limits },
    });
    return {
      format: 1,
      ...{ name, module, restart, checkpoint },
      wish: "run",
      startedAt: new Date().toISOString(),
      owner: identity.owner,
      via: [...identity.chain],
      caller: toCaller(identity, role),
      role: { name: role.name, ...(role.limits.jobs !== undefined && { jobs: role.limits.jobs }) },
      ...(role.runAs !== undefined && { runAs: role.runAs }),
      cwd: program.cwd,
      exact: program.exact === true,
      environment: toDifference(program.env, this.#environment),
      ...(program.terms.limits && { limits: program.terms.limits }),
      job: job ?? (Bun.randomUUIDv7() as JobId),
      former: [],
      holder: crypto.randomUUID() as HolderId,
      restarts: 0,
      restored: false,
      isUncertain: false,
    };
  }

  /** Of those that have ended the oldest is forgotten. Throws `too_many` where none has. */
  async #makeRoom(name: TaskName): Promise<void> {
    if (this.#tasks.has(name) || this.#tasks.size < MAX_TASKS) return;
    const [oldest] = this.#list()
      .filter(({ isUp }) => !isUp)
      .toSorted((one, other) => (one.life.record.startedAt < other.life.record.startedAt ? -1 : 1));
    if (oldest === undefined)
      throw new AppError("too_many", `Cannot start another task: this server has ${MAX_TASKS}; stop one`);
    this.#tasks.delete(oldest.name);
    await this.#launcher.store.remove(oldest.name);
  }

  /** To whom may not see it there is none. Throws `not_found`. */
  #find(name: TaskName, viewer: Identity): Task {
    const task = this.#tasks.get(name);
    if (task !== undefined && isVisible(task.life.record, viewer)) return task;
    throw new AppError("not_found", `Cannot find task "${name}": see farhand task list for those there are`);
  }

  #list(): readonly Task[] {
    return [...this.#tasks.values()];
  }
}

function toCaller({ owner, source }: Identity, role: Role): Caller {
  return { user: owner, role: role.name, source };
}

function taken(name: TaskName): AppError {
  return new AppError(
    "already_started",
    `Cannot start task "${name}": there is one of that name; stop it, or swap it with --replace`,
  );
}
