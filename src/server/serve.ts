import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { System } from "../commands/define.ts";
import { describeError, type Log } from "../lib/log.ts";
import { readBootId } from "../process/boot.ts";
import { openLibc } from "../process/libc.ts";
import { reap, Reaper } from "../process/reaper.ts";
import { AppError } from "../protocol/error.ts";
import type { KeeperId } from "../protocol/id.ts";
import type { ServerStatus } from "./app.ts";
import { Audit } from "./audit/audit.ts";
import { describeEnd } from "./audit/call-record.ts";
import { toActor } from "./audit/event.ts";
import { Refusals } from "./audit/refusals.ts";
import { keepPruning } from "./audit/upkeep.ts";
import type { Identity } from "./auth/identity.ts";
import { openLocalToken } from "./auth/local.ts";
import { Catalogue } from "./catalogue.ts";
import type { ServerConfig } from "./config.ts";
import { createContexts } from "./context.ts";
import { toJobEnvironment } from "./environment.ts";
import { Files } from "./files/files.ts";
import { JobIndex } from "./jobs/job-index.ts";
import { Jobs } from "./jobs/jobs.ts";
import { retain, Retention } from "./jobs/retention.ts";
import { Keepers } from "./keepers/keepers.ts";
import { listen } from "./listener.ts";
import { Machine } from "./machine/machine.ts";
import { Connection, type Peer } from "./session/connection.ts";
import { Sessions } from "./session/sessions.ts";
import { Shutdown } from "./shutdown.ts";
import { tend, Workspaces } from "./workspaces/workspaces.ts";
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
  const { state } = options.config;
  const umask = process.umask(0o077);
  await using stack = new AsyncDisposableStack();
  prepareState(state);
  stack.use(lockState(state));
  forgetLocalServer(state);
  const log = options.openLog(state);
  const audit = openAudit(options.config, log, stack);
  const core = await openCore({ ...options, log, umask, audit }, stack, signal);
  const clients = admitClients({ ...options, log, audit }, core, stack);
  options.onListening();

  await core.shutdown.wait();
  log.info("stopping", { running: core.jobs.running });
  clients.dismiss(
    new AppError("shutting_down", "The server stops; jobs go on, and a server started again will know them"),
  );
}

/** What a server is made of, besides those who talk to it. */
interface Core {
  readonly environment: Readonly<Record<string, string>>;
  /** That of our start, which is the user's; our own is 0077. */
  readonly umask: number;
  readonly jobs: Jobs;
  readonly keepers: Keepers;
  readonly shutdown: Shutdown;
  readonly workspaces: Workspaces;
}

type ClientsOptions = ServeOptions & { readonly log: Log; readonly audit: Audit };
type CoreOptions = ClientsOptions & { readonly umask: number };

/** Finds every job and every keeper that there is, and starts what looks after them. The stack closes it all. */
async function openCore(
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
  const keepers = stack.use(openKeepers(options, environment, () => jobs, stopped.signal));
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
  keepPruning(audit, config.audit, stopped.signal).catch(() => {}); // the same
  return { environment, workspaces, umask, jobs, keepers, shutdown };
}

/** `jobs`: asked once keepers are adopted. */
function openKeepers(
  { config, build, log, toKeeperCommand }: CoreOptions,
  env: Readonly<Record<string, string>>,
  jobs: () => Jobs,
  signal: AbortSignal,
): Keepers {
  const { state, grace } = config;
  const reaper = openReaper(signal);
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

/** In a container the first process is everybody's parent in the end: a dead keeper's jobs come to us then. */
function openReaper(signal: AbortSignal): Reaper | undefined {
  if (process.pid !== 1 || process.platform !== "linux") return undefined;
  const reaper = new Reaper(openLibc());
  reap(reaper, signal).catch(() => {}); // it ends with the server
  return reaper;
}

/** Listens, and leaves word of where for clients of this machine. */
function admitClients(
  { config, version, log, audit }: ClientsOptions,
  { environment, workspaces, umask, jobs, keepers, shutdown }: Core,
  stack: AsyncDisposableStack,
): { dismiss(reason: AppError): void } {
  const { state, grace } = config;
  const { token, authenticate } = openLocalToken();
  const connections = new Set<Connection>();
  const refusals = stack.use(new Refusals({ note: (fields) => audit.note("refused", fields) }));
  const machine = new Machine({ jobs, environment });
  const catalogue = new Catalogue({
    system: process.platform as System, // it runs on no other
    isAble: (ability) => machine.isAble(ability),
  });
  const sessions = new Sessions({
    jobs,
    state,
    version,
    audit,
    boot: readBootId(),
    log,
    grace,
    workspaces,
    catalogue,
    toContext: createContexts({
      jobs,
      workspaces,
      files: new Files({ umask }),
      machine,
      catalogue,
      close: (request, { owner }) => shutdown.close(request, owner),
    }),
  });
  const status = (): ServerStatus => ({
    pid: process.pid,
    version,
    listen: listener.addresses,
    keepers: keepers.living.map(({ id, link }) => ({ id, ...link.state, jobs: jobs.countOf(link) })),
    jobs: { running: jobs.running, total: jobs.total },
  });
  const openConnection = (peer: Peer, identity: Identity) =>
    new Connection(peer, { identity, log, openSession: (hello) => sessions.open(hello, identity) });
  const listener = stack.use(
    listen(config.listen, {
      log,
      openConnection,
      connections,
      app: {
        authenticate,
        isReady: () => keepers.isReady,
        isStopping: () => shutdown.hasBegun,
        status,
        stop: async (request, identity) => {
          identity.grants.demand(["control"], "stop the server");
          const recorder = audit.as(toActor(identity));
          recorder.note("call", { command: "stop", input: request });
          recorder.commit("stop the server");
          return await shutdown.stop(request, identity.owner);
        },
        onRefused: (refusal) => refusals.add(refusal),
        onError: (error) => log.error("request failed", { error: describeError(error) }),
      },
    }),
  );
  const [first = ""] = listener.addresses;
  stack.use(leaveLocalServer(state, { url: `http://${first}`, token, pid: process.pid, version }));
  log.info("listening", { addresses: listener.addresses, state });
  audit.note("server_started", { version, pid: process.pid, listen: listener.addresses });
  return {
    dismiss(reason) {
      for (const connection of [...connections]) connection.fail(reason);
      sessions.endAll(reason);
    },
  };
}

/** The audit log goes on where it ended; where that is stands in the server's log too. */
function openAudit({ state, audit }: ServerConfig, log: Log, stack: AsyncDisposableStack): Audit {
  const { onFailure } = audit;
  const opened = stack.use(
    new Audit({ directory: join(state, "audit"), onFailure, log, now: () => new Date() }),
  );
  const { number, hash } = opened.last;
  log.info("audit log opened", { line: number, hash });
  stack.defer(() => opened.note("server_stopped", { pid: process.pid }));
  return opened;
}

/** One that is missing is made anew from the ledgers, which is said; one that is empty though there are ledgers is refused. */
function openIndex(state: string, log: Log): JobIndex {
  const path = join(state, "state.db");
  const ledgers = readdirSync(join(state, "ledgers")).length;
  if (ledgers > 0 && !existsSync(path)) log.warn("index missing: made anew from the ledgers", { ledgers });
  return new JobIndex(path, log, ledgers === 0);
}
