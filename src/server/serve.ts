import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describeError, type Log } from "../lib/log.ts";
import { readBootId } from "../process/boot.ts";
import { openLibc } from "../process/libc.ts";
import { reap, Reaper } from "../process/reaper.ts";
import { AppError } from "../protocol/error.ts";
import type { KeeperId } from "../protocol/id.ts";
import type { ServerStatus } from "./app.ts";
import { createToken, openAuthenticator } from "./auth.ts";
import type { ServerConfig } from "./config.ts";
import { resolveFromHome, toJobEnvironment, toShell } from "./environment.ts";
import { JobIndex } from "./jobs/job-index.ts";
import { Jobs } from "./jobs/jobs.ts";
import { retain, Retention } from "./jobs/retention.ts";
import { Keepers } from "./keepers/keepers.ts";
import { listen } from "./listener.ts";
import { Connection, type Peer } from "./session/connection.ts";
import { Sessions } from "./session/sessions.ts";
import { Shutdown } from "./shutdown.ts";
import { forgetLocalServer, leaveLocalServer, lockState, prepareState } from "./state.ts";

export interface ServeOptions {
  readonly config: ServerConfig;
  readonly version: string;
  readonly build: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The argv that runs this executable as a keeper. */
  readonly toKeeperCommand: (
    state: string,
    id: KeeperId,
  ) => { readonly argv: readonly string[]; readonly argv0: string };
  readonly openLog: (state: string) => Log;
  /** Called when clients can connect. */
  readonly onListening: () => void;
}

/** Serves until the signal is aborted or an authenticated caller asks to stop; jobs go on. Throws what prevents it. */
export async function serve(options: ServeOptions, signal: AbortSignal): Promise<void> {
  const { config, version, build, env } = options;
  const { state } = config;
  const umask = process.umask(0o077);
  await using stack = new AsyncDisposableStack();
  prepareState(state);
  stack.use(lockState(state));
  forgetLocalServer(state);
  const log = options.openLog(state);
  const index = stack.use(openIndex(state, log));
  const stopped = new AbortController();
  stack.defer(() => stopped.abort(new AppError("shutting_down", "The server has stopped")));

  // In a container the first process is everybody's parent in the end: a dead keeper's jobs come to us then.
  const libc = process.pid === 1 && process.platform === "linux" ? openLibc() : undefined;
  const reaper = libc && new Reaper(libc);
  if (reaper !== undefined) reap(reaper, stopped.signal).catch(() => {}); // it ends with the server
  const jobEnvironment = toJobEnvironment(env);
  const keepers: Keepers = new Keepers(
    {
      state,
      build,
      grace: config.grace,
      log,
      env: jobEnvironment,
      toCommand: (id) => options.toKeeperCommand(state, id),
      onSpawn: (pid, exited) => reaper?.leave(pid, exited),
      onAdopt: (link, standings) => jobs.adopt(link, standings),
      onProgress: (progress) => jobs.progress(progress),
      onClosed: (progress) => jobs.closed(progress),
      onUnreached: (link) => jobs.refresh(link),
      onDead: (link) => jobs.lose(link),
    },
    stopped.signal,
  );
  stack.use(keepers);
  const jobs: Jobs = new Jobs({
    state,
    index,
    log,
    umask,
    currentKeeper: async () => {
      if (shutdown.hasBegun) throw new AppError("shutting_down", "Cannot start a job: the server stops");
      return keepers.current();
    },
    signal: stopped.signal,
  });
  const shutdown: Shutdown = new Shutdown({
    log,
    listLive: () => jobs.listLive(),
    toDirectory: (job) => join(state, "ledgers", job),
    signal,
  });
  await keepers.adoptAll();
  jobs.reconcile((id) => keepers.findUnreached(id));
  await keepers.current();
  const retention = new Retention({ state, index, log, limits: config.retention, live: jobs });
  retain(retention, stopped.signal).catch(() => {}); // it ends with the server, and logs what fails

  const token = createToken();
  const boot = readBootId();
  const connections = new Set<Connection>();
  const sessions = new Sessions({
    jobs,
    state,
    version,
    boot,
    log,
    grace: config.grace,
    toContext: (owner, signal) => ({
      signal,
      jobs: jobs.access(owner),
      environment: jobEnvironment,
      resolvePath: resolveFromHome,
      toShell,
    }),
  });
  let listening: readonly string[] = [];
  const status = (): ServerStatus => ({
    pid: process.pid,
    version,
    listen: listening,
    keepers: keepers.living.map(({ id, link }) => ({ id, ...link.state, jobs: jobs.countOf(link) })),
    jobs: { running: jobs.running, total: jobs.total },
  });
  const openConnection = (peer: Peer, owner: string) =>
    new Connection(peer, { owner, log, openSession: (hello, owner) => sessions.open(hello, owner) });
  const listener = listen(config.listen, {
    log,
    openConnection,
    connections,
    app: {
      authenticate: openAuthenticator(token),
      isReady: () => keepers.isReady,
      isStopping: () => shutdown.hasBegun,
      status,
      stop: (request, owner) => shutdown.stop(request, owner),
      onError: (error) => log.error("request failed", { error: describeError(error) }),
    },
  });
  stack.use(listener);
  listening = listener.addresses;
  const [first = ""] = listening;
  stack.use(leaveLocalServer(state, { url: `http://${first}`, token, pid: process.pid, version }));
  log.info("listening", { addresses: listening, state });
  options.onListening();

  await shutdown.wait();
  log.info("stopping", { running: jobs.running });
  const reason = new AppError(
    "shutting_down",
    "The server stops; jobs go on, and a server started again will know them",
  );
  for (const connection of [...connections]) connection.fail(reason);
  sessions.endAll(reason);
}

/** One that is missing is made anew from the ledgers, which is said; one that is empty though there are ledgers is refused. */
function openIndex(state: string, log: Log): JobIndex {
  const path = join(state, "state.db");
  const ledgers = readdirSync(join(state, "ledgers")).length;
  if (ledgers > 0 && !existsSync(path)) log.warn("index missing: made anew from the ledgers", { ledgers });
  return new JobIndex(path, log, ledgers === 0);
}
