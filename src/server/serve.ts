import { join } from "node:path";
import type { Log } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { Audit } from "./audit/audit.ts";
import { admitClients, type ClientsOptions } from "./clients.ts";
import type { ServerConfig } from "./config.ts";
import { type CoreOptions, openCore } from "./core.ts";
import type { ReloadReport } from "./reload.ts";
import { forgetLocalServer, lockState, prepareState } from "./state.ts";

export interface ServeOptions
  extends Omit<CoreOptions, "log" | "audit" | "umask">, Pick<ClientsOptions, "version" | "readConfig"> {
  readonly openLog: (state: string) => Log;
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

/** The audit log goes on where it ended. */
function openAudit({ state, audit }: ServerConfig, log: Log, stack: AsyncDisposableStack): Audit {
  const { onFailure } = audit;
  return stack.use(new Audit({ directory: join(state, "audit"), onFailure, log, now: () => new Date() }));
}
