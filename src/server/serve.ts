import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { System } from "../commands/define.ts";
import { describeError, type Log } from "../lib/log.ts";
import { readBootId } from "../process/boot.ts";
import { openLibc } from "../process/libc.ts";
import { reap, Reaper } from "../process/reaper.ts";
import { AppError } from "../protocol/error.ts";
import type { Hello } from "../protocol/hello.ts";
import type { KeeperId } from "../protocol/id.ts";
import type { ServerStatus } from "./app.ts";
import { Audit } from "./audit/audit.ts";
import { describeEnd } from "./audit/call-record.ts";
import { toActor } from "./audit/event.ts";
import { Refusals } from "./audit/refusals.ts";
import { keepPruning } from "./audit/upkeep.ts";
import { openDoor } from "./auth/door.ts";
import type { Identity } from "./auth/identity.ts";
import { Catalogue } from "./catalogue.ts";
import type { ServerConfig } from "./config.ts";
import { createContexts } from "./context.ts";
import { toJobEnvironment } from "./environment.ts";
import { Files } from "./files/files.ts";
import { Gate } from "./gate/gate.ts";
import { JobIndex } from "./jobs/job-index.ts";
import { Jobs } from "./jobs/jobs.ts";
import { retain, Retention } from "./jobs/retention.ts";
import { Keepers } from "./keepers/keepers.ts";
import { listen } from "./endpoints.ts";
import { addLocal, isExposed } from "./listen.ts";
import { directory } from "./logins/directory.ts";
import type { Login } from "./logins/login.ts";
import { Logins } from "./logins/logins.ts";
import { Machine } from "./machine/machine.ts";
import { Delegate } from "./runners/delegate.ts";
import { Runners } from "./runners/runners.ts";
import { Connection, type Peer } from "./session/connection.ts";
import { Sessions } from "./session/sessions.ts";
import { toOwnFiles } from "./own-files.ts";
import { Shutdown } from "./shutdown.ts";
import type { Pair } from "./tls/pair.ts";
import { tendTls, Tls, type TlsOptions } from "./tls/tls.ts";
import { listMachineNames, listNames } from "./names.ts";
import { type Reloadable, Reloading, type ReloadReport } from "./reload.ts";
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
  /** The argv that runs this executable as another user's runner. */
  readonly toRunnerCommand: (login: Login) => { readonly argv: readonly string[]; readonly argv0: string };
  readonly openLog: (state: string) => Log;
  /** Reads the configuration anew, by the same flags. */
  readonly readConfig: () => ServerConfig;
  /** Called when clients can connect, with what has the configuration and all that it names read anew. */
  readonly onListening: (reload: () => Promise<ReloadReport>) => void;
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
  let hasStarted = false;
  stack.defer(() => {
    if (hasStarted) audit.note("server_stopped", { pid: process.pid });
  });
  const core = await openCore({ ...options, log, umask, audit }, stack, signal);
  const clients = await admitClients({ ...options, log, audit }, core, stack);
  options.onListening(clients.reload);
  hasStarted = true;

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
  /** Processes of other users, as whom roles have things done. */
  readonly runners: Runners;
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
  return { environment, workspaces, umask, jobs, keepers, runners, shutdown };
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

function openRunners({ log, toRunnerCommand }: CoreOptions, reaper: Reaper | undefined): Runners {
  return new Runners({
    libc: process.platform === "win32" ? undefined : openLibc(),
    toCommand: toRunnerCommand,
    onSpawn: (pid, exited) => reaper?.leave(pid, exited),
    log,
  });
}

/** In a container the first process is everybody's parent in the end: a dead keeper's jobs come to us then. */
function openReaper(signal: AbortSignal): Reaper | undefined {
  if (process.pid !== 1 || process.platform !== "linux") return undefined;
  const reaper = new Reaper(openLibc());
  reap(reaper, signal).catch(() => {}); // it ends with the server
  return reaper;
}

/** Listens, and leaves word of where for clients of this machine. */
async function admitClients(
  { config, version, log, readConfig, audit }: ClientsOptions,
  { environment, workspaces, umask, jobs, keepers, runners, shutdown }: Core,
  stack: AsyncDisposableStack,
): Promise<{ dismiss(reason: AppError): void; reload(): Promise<ReloadReport> }> {
  const { state, grace } = config;
  const tls = await openTls(config, (credentials) => endpoints.secure(credentials));
  const parts: Reloadable[] = tls === undefined ? [] : [tls];
  const reloading = new Reloading({ readConfig, config, log, parts });
  const connections = new Set<Connection>();
  const refusals = stack.use(new Refusals({ note: (fields) => audit.note("refused", fields) }));
  const now = () => Date.now();
  const door = stack.use(await openDoor({ state, config: () => reloading.config, log, now }));
  parts.push(...door.parts);
  const watch = new AbortController();
  stack.defer(() => watch.abort(new AppError("shutting_down", "The server has stopped")));
  const gate = new Gate({
    log,
    isOwn: door.isLocalToken,
    onPenalized: (source) =>
      refusals.add({
        source,
        outcome: "too_many",
        message: "Nothing of this source is looked at for a while",
      }),
    signal: watch.signal,
  });
  const machine = new Machine({ environment });
  const catalogue = new Catalogue({
    system: process.platform as System, // it runs on no other
    isAble: (ability) => machine.isAble(ability),
  });
  const own = () => toOwnFiles(reloading.config);
  const files = new Files({ umask, own });
  const delegate = new Delegate({ runners, jobs, environment, umask, own });
  const sessions = new Sessions({
    jobs,
    files,
    logins: new Logins({ directory, uid: process.getuid?.(), now: () => performance.now() }),
    delegate,
    state,
    version,
    audit,
    boot: readBootId(),
    log,
    grace,
    workspaces,
    catalogue,
    uses: door.uses,
    toContext: createContexts({
      jobs,
      workspaces,
      files,
      machine,
      catalogue,
      delegate,
      close: (request, identity) => shutdown.close(request, identity),
    }),
  });
  const status = (): ServerStatus => ({
    pid: process.pid,
    version,
    listen: endpoints.urls,
    tls: tls && toTlsStatus(tls.current),
    keepers: keepers.living.map(({ id, link }) => ({ id, ...link.state, jobs: jobs.countOf(link) })),
    jobs: { running: jobs.running, total: jobs.total },
  });
  const openConnection = (peer: Peer, identity: Identity) => {
    const openSession = (hello: Hello) => sessions.open(hello, identity);
    const connection = new Connection(peer, { identity, log, openSession });
    if (!door.isStanding(identity)) connection.fail(gone()); // since a moment ago
    return connection;
  };
  /** What is asked for by HTTP is a call as any other. */
  const demand = (identity: Identity, name: string, what: string, input?: object) => {
    identity.grants.demandCommand({ name, permission: "control" }, what);
    const recorder = audit.as(toActor(identity));
    recorder.note("call", { command: name, ...(input && { input }) });
    recorder.commit(what);
    door.uses.spend(identity, undefined, what);
  };
  const machineNames = listMachineNames(); // not for each stranger anew
  const endpoints = stack.use(
    await listen(config.listen && addLocal(config.listen, state), tls?.current, {
      log,
      openConnection,
      connections,
      gate,
      app: {
        ...door.app,
        isNamed: (name) =>
          listNames(reloading.config, machineNames).includes(name) || tls?.isNamed(name) === true,
        isReady: () => keepers.isReady,
        isStopping: () => shutdown.hasBegun,
        status: (identity) => {
          demand(identity, "status", "tell how the server stands");
          return status();
        },
        stop: async (request, identity) => {
          demand(identity, "close-server", "stop the server", request);
          return await shutdown.stop(request, identity);
        },
        reload: async (identity) => {
          demand(identity, "reload", "reload the server");
          return await reloading.run();
        },
        onAdmitted(what, { user, name, expires }, source) {
          audit.note(what, { user, source, token_name: name, expires });
          audit.write();
        },
        onRefused: (refusal) => refusals.add(refusal),
        onError: (error) => log.error("request failed", { error: describeError(error) }),
      },
    }),
  );
  if (config.tls.insecure && config.listen?.some(isExposed))
    log.warn("serving without TLS: whoever is on the way reads and changes everything, the tokens too");
  if (tls !== undefined) tendTls(tls, log, watch.signal).catch(() => {}); // it ends with the server, and logs what fails
  stack.use(
    leaveLocalServer(state, { url: endpoints.local, token: door.localToken, pid: process.pid, version }),
  );
  stack.use(
    door.watch((isOver) => {
      for (const connection of [...connections]) if (isOver(connection.identity)) connection.fail(gone());
      sessions.endAll(gone(), isOver);
    }),
  );
  log.info("listening", { addresses: endpoints.urls, state, ...(tls && { pin: tls.current.pin }) });
  const { number, hash } = audit.last; // in a log of its own, so that a cut of the other shows
  log.info("audit log goes on", { line: number, hash });
  audit.note("server_started", { version, pid: process.pid, listen: endpoints.urls });
  return {
    dismiss(reason) {
      for (const connection of [...connections]) connection.fail(reason);
      sessions.endAll(reason);
    },
    reload: () => reloading.run(),
  };
}

/** The audit log goes on where it ended. */
function openAudit({ state, audit }: ServerConfig, log: Log, stack: AsyncDisposableStack): Audit {
  const { onFailure } = audit;
  return stack.use(new Audit({ directory: join(state, "audit"), onFailure, log, now: () => new Date() }));
}

function gone(): AppError {
  return new AppError(
    "unauthenticated",
    "Your token is not valid any more: it was revoked, its time is over, or its roles have changed",
  );
}

/** Where an address is exposed. */
async function openTls(config: ServerConfig, secure: TlsOptions["secure"]): Promise<Tls | undefined> {
  const { listen = [], tls, state } = config;
  if (tls.insecure || !listen.some(isExposed)) return undefined;
  return await Tls.open({ directory: join(state, "tls"), config, now: () => new Date(), secure });
}

/** One that is missing is made anew from the ledgers, which is said; one that is empty though there are ledgers is refused. */
function openIndex(state: string, log: Log): JobIndex {
  const path = join(state, "state.db");
  const ledgers = readdirSync(join(state, "ledgers")).length;
  if (ledgers > 0 && !existsSync(path)) log.warn("index missing: made anew from the ledgers", { ledgers });
  return new JobIndex(path, log, ledgers === 0);
}

function toTlsStatus({ pin, leaf }: Pair): NonNullable<ServerStatus["tls"]> {
  return { pin, expires: leaf.validToDate.toISOString(), isSelfSigned: leaf.subject === leaf.issuer };
}
