import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Budget } from "../lib/budget.ts";
import type { Log } from "../lib/log.ts";
import { digest } from "../module/bundle.ts";
import type { Again } from "../process/again.ts";
import { openLibc } from "../process/libc.ts";
import { reap, Reaper } from "../process/reaper.ts";
import { AppError } from "../protocol/error.ts";
import type { KeeperId } from "../protocol/id.ts";
import type { Audit } from "./audit/audit.ts";
import { describeEnd } from "./audit/call-record.ts";
import { keepPruning } from "./audit/upkeep.ts";
import type { ServerConfig } from "./config.ts";
import { toJobEnvironment } from "./environment.ts";
import { Builder } from "./extensions/builder.ts";
import { Extensions } from "./extensions/extensions.ts";
import { Inline } from "./extensions/inline.ts";
import { JobIndex } from "./jobs/job-index.ts";
import { Jobs } from "./jobs/jobs.ts";
import { retain, Retention } from "./jobs/retention.ts";
import { Keepers } from "./keepers/keepers.ts";
import { directory as users } from "./logins/directory.ts";
import type { Login } from "./logins/login.ts";
import { Logins } from "./logins/logins.ts";
import { Runners } from "./runners/runners.ts";
import { ORDER_BYTES } from "./session/custom-calls.ts";
import { Shutdown } from "./shutdown.ts";
import { beginTasks } from "./tasks/initial.ts";
import { Tasks } from "./tasks/tasks.ts";
import { tend, Workspaces } from "./workspaces/workspaces.ts";

/** Bytes of memory that a custom command in the foreground may take: what leaks is ended before it takes the machine's. */
const MAX_RUNNER_MEMORY = 2 * 1024 ** 3;

/** What a server is made of, besides those who talk to it. */
export interface Core {
  readonly environment: Readonly<Record<string, string>>;
  /** That of our start, which is the user's; our own is 0077. */
  readonly umask: number;
  readonly jobs: Jobs;
  readonly keepers: Keepers;
  readonly shutdown: Shutdown;
  readonly workspaces: Workspaces;
  /** Processes that do custom commands, and whatever is done as another user. */
  readonly runners: Runners;
  readonly extensions: Extensions;
  /** Those of them that are done here. */
  readonly inline: Inline;
  /** Knows as whom roles have things done. */
  readonly logins: Logins;
  readonly tasks: Tasks;
  /** Bytes of modules on their way to keepers, of all together. */
  readonly orders: Budget;
}

export interface CoreOptions {
  readonly config: ServerConfig;
  readonly build: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Runs this executable as a keeper. */
  readonly toKeeperCommand: (state: string, id: KeeperId) => Again;
  /** Runs this executable as a runner of another user, or of our own. */
  readonly toRunnerCommand: (login: Login | undefined) => Again;
  /** Runs this executable as the runner of a job. */
  readonly jobRunner: Again;
  /** Runs this executable to build a module into a directory. */
  readonly toBuildCommand: (file: string, directory: string) => Again;
  readonly log: Log;
  readonly audit: Audit;
  /** That of our start, which is the user's; our own is 0077. */
  readonly umask: number;
}

/** Finds every job and every keeper that there is, and starts what looks after them. The stack closes it all. */
export async function openCore(
  options: CoreOptions,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Core> {
  const { config, log, umask, audit } = options;
  const { state } = config;
  const index = stack.use(openIndex(state, log));
  const stopped = new AbortController();
  stack.defer(() => stopped.abort(new AppError("shutting_down", "The server has stopped")));
  const environment = toJobEnvironment(options.env);
  const directory = join(state, "workspaces");
  const workspaces = new Workspaces({ directory, environment, log, now: () => Date.now() });
  tend(workspaces, stopped.signal).catch(() => {}); // it ends with the server, and logs what fails
  const reaper = openReaper(stopped.signal);
  const keepers = stack.use(openKeepers(options, { environment, reaper, jobs: () => jobs }, stopped.signal));
  const runners = stack.use(openRunners(options, reaper));
  const jobs: Jobs = new Jobs({
    state,
    index,
    log,
    umask,
    onEnded: (start, exit) => audit.note("job_ended", describeEnd(start, exit)),
    currentKeeper: async () => {
      if (shutdown.hasBegun) throw new AppError("shutting_down", "Cannot start a job: the server stops");
      return keepers.current();
    },
    signal: stopped.signal,
  });
  const inline = stack.use(new Inline({ log, signal: stopped.signal }));
  const builder = openBuilder(options);
  const extensions = openExtensions(log, { builder, runners, inline }, stopped.signal);
  const shutdown: Shutdown = new Shutdown({
    log,
    listLive: () => jobs.listLive(),
    toDirectory: (job) => join(state, "ledgers", job),
    signal,
  });
  const logins = new Logins({ directory: users, uid: process.getuid?.(), now: () => performance.now() });
  const orders = new Budget(ORDER_BYTES);
  const tasks = stack.use(
    new Tasks({
      ...{ state, jobs, logins, runner: options.jobRunner, environment, orders, log },
      onRestarted: ({ name, owner, job }) =>
        audit.note("changed", {
          source: "server",
          what: `start task "${name}" again`,
          user: owner,
          job,
          outcome: "ok",
        }),
    }),
  );
  await keepers.adoptAll();
  jobs.reconcile((id) => keepers.findUnreached(id));
  await keepers.current();
  tasks.adopt();
  await beginTasks(config.tasks, { builder, tasks, environment, log }, signal);
  const retention = new Retention({ state, index, log, limits: config.retention, live: jobs });
  retain(retention, stopped.signal).catch(() => {}); // it ends with the server, and logs what fails
  keepPruning(audit, config.audit, stopped.signal).catch(() => {}); // the same
  extensions.start(config.extensions);
  return {
    environment,
    workspaces,
    umask,
    jobs,
    keepers,
    runners,
    extensions,
    inline,
    logins,
    tasks,
    orders,
    shutdown,
  };
}

interface KeepersShare {
  readonly environment: Readonly<Record<string, string>>;
  readonly reaper: Reaper | undefined;
  /** Asked once keepers are adopted. */
  readonly jobs: () => Jobs;
}

function openKeepers(
  { config, build, log, toKeeperCommand }: CoreOptions,
  { environment: env, reaper, jobs }: KeepersShare,
  signal: AbortSignal,
): Keepers {
  const { state, grace } = config;
  return new Keepers(
    {
      state,
      build,
      grace,
      log,
      env,
      toCommand: (id) => toKeeperCommand(state, id),
      onSpawn: (pid, exited) => reaper?.leave(pid, exited),
      onAdopt: (link, standings) => jobs().adopt(link, standings),
      onProgress: (progress) => jobs().progress(progress),
      onClosed: (progress) => jobs().closed(progress),
      onUnreached: (link) => jobs().refresh(link),
      onDead: (link) => jobs().lose(link),
    },
    signal,
  );
}

function openRunners({ log, umask, toRunnerCommand }: CoreOptions, reaper: Reaper | undefined): Runners {
  return new Runners({
    libc: process.platform === "win32" ? undefined : openLibc(),
    toCommand: toRunnerCommand,
    onSpawn: (pid, exited) => reaper?.leave(pid, exited),
    log,
    umask,
    maxMemory: MAX_RUNNER_MEMORY,
  });
}

/** None of its modules is run here: each is built, and then called, in a process of its own. */
function openExtensions(
  log: Log,
  { builder, runners, inline }: Pick<Core, "runners" | "inline"> & { readonly builder: Builder },
  signal: AbortSignal,
): Extensions {
  return new Extensions({
    build: (file, signal, packs) => builder.build(file, signal, packs),
    retain(units) {
      runners.retain(units);
      inline.retain(units);
    },
    log,
    signal,
  });
}

/** What a server of this state directory that was killed had begun to build is cleared away. */
function openBuilder({ config: { state }, toBuildCommand }: CoreOptions): Builder {
  const owner = digest(new TextEncoder().encode(state)).slice(0, 12); // the module that is built finds it in its argv
  const builder = new Builder({ toCommand: toBuildCommand, owner });
  builder.clear();
  return builder;
}

/** In a container the first process is everybody's parent in the end: a dead keeper's jobs come to us then. */
function openReaper(signal: AbortSignal): Reaper | undefined {
  if (process.pid !== 1 || process.platform !== "linux") return undefined;
  const reaper = new Reaper(openLibc());
  reap(reaper, signal).catch(() => {}); // it ends with the server
  return reaper;
}

/** One that is missing is made anew from the ledgers, which is said; one that is empty though there are ledgers is refused. */
function openIndex(state: string, log: Log): JobIndex {
  const path = join(state, "state.db");
  const ledgers = readdirSync(join(state, "ledgers")).length;
  if (ledgers > 0 && !existsSync(path)) log.warn("index missing: made anew from the ledgers", { ledgers });
  return new JobIndex(path, log, ledgers === 0);
}
