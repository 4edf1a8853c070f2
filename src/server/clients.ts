import { join } from "node:path";
import type { System } from "../commands/define.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { Again } from "../process/again.ts";
import { readBootId } from "../process/boot.ts";
import { AppError } from "../protocol/error.ts";
import type { Hello } from "../protocol/hello.ts";
import type { Audit } from "./audit/audit.ts";
import { Refusals } from "./audit/refusals.ts";
import { describeReload } from "./audit/reload-record.ts";
import { type Door, openDoor } from "./auth/door.ts";
import type { Identity } from "./auth/identity.ts";
import { Catalogue } from "./catalogue.ts";
import type { ServerConfig } from "./config.ts";
import { createContexts } from "./context.ts";
import type { Core } from "./core.ts";
import { listen } from "./endpoints.ts";
import { keepWatching, Watch, type WatchReport } from "./extensions/watch.ts";
import { Files } from "./files/files.ts";
import { Gate } from "./gate/gate.ts";
import { addLocal, isExposed } from "./listen.ts";
import { Machine } from "./machine/machine.ts";
import { listMachineNames, listNames } from "./names.ts";
import { toOwnFiles } from "./own-files.ts";
import { type Reloadable, Reloading, type ReloadReport } from "./reload.ts";
import { createRequests } from "./requests.ts";
import { Delegate } from "./runners/delegate.ts";
import { Connection, type Peer } from "./session/connection.ts";
import { Sessions } from "./session/sessions.ts";
import { leaveLocalServer } from "./state.ts";
import { tendTls, Tls, type TlsOptions } from "./tls/tls.ts";

export interface ClientsOptions {
  readonly config: ServerConfig;
  /** Reads it anew, by the same flags. */
  readonly readConfig: () => ServerConfig;
  /** Runs this executable as the runner of a job. */
  readonly jobRunner: Again;
  readonly version: string;
  readonly log: Log;
  readonly audit: Audit;
}

/** What can be done to all who talk to a server. */
export interface Clients {
  dismiss(reason: AppError): void;
  /** Has the configuration and all that it names read anew. */
  reload(): Promise<ReloadReport>;
}

/** Listens, and leaves word of where for clients of this machine. The stack ends it. */
export async function admitClients(
  options: ClientsOptions,
  core: Core,
  stack: AsyncDisposableStack,
): Promise<Clients> {
  const { config, version, log, readConfig, audit } = options;
  const { state } = config;
  const tls = await openTls(config, (credentials) => endpoints.secure(credentials));
  const parts: Reloadable[] = tls === undefined ? [] : [tls];
  const reloading = new Reloading({
    readConfig,
    config,
    log,
    parts,
    onReloaded(report, by) {
      const who = by ?? { source: "signal" };
      for (const fields of describeReload(report)) audit.note("changed", { ...who, ...fields });
      audit.write();
    },
  });
  const connections = new Set<Connection>();
  const refusals = stack.use(new Refusals({ note: (fields) => audit.note("refused", fields) }));
  const now = () => Date.now();
  const door = stack.use(await openDoor({ state, config: () => reloading.config, log, now }));
  parts.push(...door.parts, core.extensions);
  const watch = new AbortController();
  stack.defer(() => watch.abort(new AppError("shutting_down", "The server has stopped")));
  if (config.extensions.watch)
    startWatching(core, { log, audit, signal: watch.signal }, () => reloading.config);
  const sessions = createSessions(options, core, door, () => reloading.config);
  const openConnection = (peer: Peer, identity: Identity) => {
    const openSession = (hello: Hello) => sessions.open(hello, identity);
    const connection = new Connection(peer, { identity, log, openSession });
    if (!door.isStanding(identity)) connection.fail(gone()); // since a moment ago
    return connection;
  };
  const machineNames = listMachineNames(); // not for each stranger anew
  const endpoints = stack.use(
    await listen(config.listen && addLocal(config.listen, state), tls?.current, {
      log,
      openConnection,
      connections,
      gate: createGate(log, door, refusals, watch.signal),
      app: {
        ...door.app,
        ...createRequests({
          core,
          version,
          audit,
          uses: door.uses,
          reloading,
          tls,
          listening: (): readonly string[] => endpoints.urls,
        }),
        isNamed: (name) =>
          listNames(reloading.config, machineNames).includes(name) || tls?.isNamed(name) === true,
        isReady: () => core.keepers.isReady,
        isStopping: () => core.shutdown.hasBegun,
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
  const onRenewed = (now: string) => {
    log.info("certificate renewed", { now });
    audit.note("changed", { source: "server", what: "renew certificate", now, outcome: "ok" });
  };
  if (tls !== undefined) tendTls(tls, { log, onRenewed, signal: watch.signal }).catch(() => {}); // it ends with the server, and logs what fails
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
  audit.note("server_started", {
    version,
    pid: process.pid,
    listen: endpoints.urls,
    pin: tls?.current.pin,
  });
  return {
    dismiss(reason) {
      for (const connection of [...connections]) connection.fail(reason);
      sessions.endAll(reason);
    },
    reload: () => reloading.run(),
  };
}

/** `config`: as it is by now. */
function createSessions(
  { config: { state, grace }, version, log, audit, jobRunner }: ClientsOptions,
  {
    environment,
    workspaces,
    umask,
    jobs,
    runners,
    extensions,
    inline,
    logins,
    tasks,
    orders,
    shutdown,
  }: Core,
  { uses }: Door,
  config: () => ServerConfig,
): Sessions {
  const own = () => toOwnFiles(config(), extensions.inputs);
  const files = new Files({ umask, own });
  const machine = new Machine({ environment });
  const delegate = new Delegate({ runners, jobs, environment, umask, own });
  const catalogue = new Catalogue({
    system: process.platform as System, // it runs on no other
    isAble: (ability) => machine.isAble(ability),
    extensions,
  });
  return new Sessions({
    jobs,
    files,
    logins,
    delegate,
    runners,
    inline,
    jobRunner,
    orders,
    state,
    version,
    audit,
    boot: readBootId(),
    log,
    grace,
    workspaces,
    catalogue,
    uses,
    toContext: createContexts({
      jobs,
      workspaces,
      files,
      machine,
      catalogue,
      delegate,
      tasks,
      close: (request, identity) => shutdown.close(request, identity),
    }),
  });
}

/** Runs by itself, and logs what fails. */
function startWatching(
  { extensions }: Core,
  { log, audit, signal }: Pick<ClientsOptions, "log" | "audit"> & { readonly signal: AbortSignal },
  config: () => ServerConfig,
): void {
  const onReloaded = (report: WatchReport) => {
    log.info("modules read anew", { ...report });
    for (const fields of describeReload(report)) audit.note("changed", { source: "server", ...fields });
  };
  const watch = new Watch({ extensions, settings: () => config().extensions });
  extensions
    .ready()
    .then(() => keepWatching(watch, { log, onReloaded, signal }))
    .catch(() => {}); // it ends with the server
}

function createGate(log: Log, { isLocalToken }: Door, refusals: Refusals, signal: AbortSignal): Gate {
  const message = "Nothing of this source is looked at for a while";
  return new Gate({
    log,
    isOwn: isLocalToken,
    onPenalized: (source) => refusals.add({ source, outcome: "too_many", message }),
    signal,
  });
}

/** Where an address is exposed. */
async function openTls(config: ServerConfig, secure: TlsOptions["secure"]): Promise<Tls | undefined> {
  const { listen = [], tls, state } = config;
  if (tls.insecure || !listen.some(isExposed)) return undefined;
  return await Tls.open({ directory: join(state, "tls"), config, now: () => new Date(), secure });
}

function gone(): AppError {
  return new AppError(
    "unauthenticated",
    "Your token is not valid any more: it was revoked, its time is over, or its roles have changed",
  );
}
