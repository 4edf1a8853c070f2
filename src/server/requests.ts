import type { AppOptions, ServerStatus } from "./app.ts";
import type { Audit } from "./audit/audit.ts";
import { toActor } from "./audit/event.ts";
import type { Identity } from "./auth/identity.ts";
import type { Uses } from "./auth/uses.ts";
import type { Core } from "./core.ts";
import type { Reloading } from "./reload.ts";
import { isSelfSigned, type Pair } from "./tls/pair.ts";
import type { Tls } from "./tls/tls.ts";

export interface RequestsOptions {
  readonly core: Pick<Core, "jobs" | "keepers" | "shutdown" | "extensions">;
  readonly version: string;
  readonly audit: Audit;
  readonly uses: Pick<Uses, "spend">;
  readonly reloading: Reloading;
  readonly tls: Tls | undefined;
  /** Where it listens. */
  readonly listening: () => readonly string[];
}

/** What is asked for by HTTP, which is a call as any other: allowed, counted and recorded. */
export function createRequests({
  core: { jobs, keepers, shutdown, extensions },
  version,
  audit,
  uses,
  reloading,
  tls,
  listening,
}: RequestsOptions): Pick<AppOptions, "status" | "stop" | "reload"> {
  const demand = (identity: Identity, name: string, what: string, input?: object) => {
    identity.grants.demandCommand({ name, permission: "control" }, what);
    const recorder = audit.as(toActor(identity));
    recorder.note("call", { command: name, ...(input && { input }) });
    recorder.commit(what);
    uses.spend(identity, undefined, what);
  };
  return {
    status(identity): ServerStatus {
      demand(identity, "status", "tell how the server stands");
      return {
        pid: process.pid,
        version,
        listen: listening(),
        tls: tls && toTlsStatus(tls.current),
        keepers: keepers.living.map(({ id, link }) => ({ id, ...link.state, jobs: jobs.countOf(link) })),
        jobs: { running: jobs.running, total: jobs.total },
        commands: { own: extensions.list().length, faults: extensions.faults },
      };
    },
    async stop(request, identity) {
      demand(identity, "close-server", "stop the server", request);
      return await shutdown.stop(request, identity);
    },
    async reload(identity) {
      demand(identity, "reload", "reload the server");
      return await reloading.run(toActor(identity));
    },
  };
}

function toTlsStatus({ pin, leaf }: Pair): NonNullable<ServerStatus["tls"]> {
  return { pin, expires: leaf.validToDate.toISOString(), isSelfSigned: isSelfSigned(leaf) };
}
