import type { FileAccess } from "../commands/access/files.ts";
import type { VariableChange, WorkspaceAccess } from "../commands/access/workspace.ts";
import { commands } from "../commands/commands.ts";
import type { CommandContext } from "../commands/context.ts";
import type { CommandDescription } from "../protocol/description.ts";
import { toBytes } from "../protocol/path.ts";
import type { WorkspaceName } from "../protocol/workspace.ts";
import type { Recorder } from "./audit/audit.ts";
import { auditFiles } from "./audit/audited-files.ts";
import { type Identity, toTenant } from "./auth/identity.ts";
import type { Role } from "./auth/role.ts";
import type { Catalogue } from "./catalogue.ts";
import { toLoginShell, toShell } from "./environment.ts";
import { enclose } from "./files/enclosure.ts";
import type { Files } from "./files/files.ts";
import type { Jobs } from "./jobs/jobs.ts";
import { type Login, toLoginShell as toShellOf } from "./logins/login.ts";
import { toKnownJobs } from "./machine/known-jobs.ts";
import type { Machine } from "./machine/machine.ts";
import type { Delegate } from "./runners/delegate.ts";
import type { Tasks } from "./tasks/tasks.ts";
import type { StopReport, StopRequest } from "./shutdown.ts";
import type { Workspaces } from "./workspaces/workspaces.ts";

/** Who calls, in which role and workspace, and what he sends along. */
export interface Caller {
  readonly identity: Identity;
  readonly role: Role;
  /** Takes down which files it changes. */
  readonly recorder: Recorder;
  /** As whom the role has it done, if not as the server. */
  readonly login: Login | undefined;
  readonly workspace: WorkspaceName;
  readonly signal: AbortSignal;
  readonly input: AsyncIterable<Uint8Array>;
}

export type ToContext = (caller: Caller) => CommandContext;

export interface ContextOptions {
  readonly jobs: Jobs;
  readonly workspaces: Workspaces;
  readonly files: Files;
  readonly machine: Machine;
  readonly catalogue: Catalogue;
  readonly delegate: Pick<Delegate, "toFooting" | "confine">;
  readonly tasks: Tasks;
  /** Ends jobs if it should, and then the server, as soon as the answer is sent. */
  readonly close: (request: StopRequest, identity: Identity) => Promise<StopReport>;
}

/** What commands are given, for each call anew. */
export function createContexts({
  jobs,
  workspaces,
  files,
  machine,
  catalogue,
  delegate,
  tasks,
  close,
}: ContextOptions): ToContext {
  return ({ identity, recorder, role, login, workspace: name, signal, input }) => {
    const tenant = toTenant(identity);
    const confinement = files.confine(identity.grants.reachOf(role));
    const footing =
      login === undefined
        ? workspaces.footing(confinement, identity.grants.homeOf(role))
        : delegate.toFooting(login, { identity, role }, signal);
    const workspace = toBounded(workspaces.access(tenant, name, footing), identity, role);
    let room: FileAccess | undefined;
    return {
      signal,
      input,
      workspace,
      workspaces: workspaces.accessAll(tenant, footing),
      // Only once it is asked for: a workspace that cannot be used must not keep others, or its own removal, from working.
      get files() {
        if (login !== undefined) throw notHere("files");
        if (room !== undefined) return room;
        const directory = toBytes(workspace.cwd);
        return (room = auditFiles(files.access(directory, signal, confinement), directory, recorder));
      },
      jobs: jobs.access(identity),
      get tasks() {
        return tasks.access({
          identity,
          role,
          cwd: () => workspace.resolve("."),
          environment: () => workspace.environment,
          async admit(program) {
            const { grants } = identity;
            const admitted = grants.admit(role, program, () => workspace.environment);
            const roots = grants.rootsOf(role);
            if (roots.length === 0) return admitted;
            const confined = login
              ? delegate.confine(login, { identity, role }, signal)
              : files.confine(roots);
            return await enclose(admitted, confined);
          },
        });
      },
      get machine() {
        if (login !== undefined) throw notHere("the machine");
        // Whoever may run what he likes can look for it wherever he likes.
        const search = identity.grants.isFreeAs(role) ? undefined : confinement;
        return machine.access(workspace, { jobs: toKnownJobs(jobs, identity), confinement: search, signal });
      },
      server: {
        describe: (names) => describeTo(identity, catalogue, names),
        close: (jobs) => close({ jobs }, identity),
      },
      toShell,
      toLoginShell: login === undefined ? toLoginShell : () => toShellOf(login),
    };
  };
}

/** What there is, for whoever may ask for that; for others what they may call. Throws `forbidden` where one that is named is not. */
async function describeTo(
  { grants }: Identity,
  catalogue: Catalogue,
  names: readonly string[],
): Promise<readonly CommandDescription[]> {
  const described = await catalogue.describe(names);
  if (grants.allows(commands)) return described;
  const known = described.flatMap((description) => {
    const command = catalogue.find(description.name);
    return command === undefined ? [] : [{ description, command }];
  });
  if (names.length > 0) for (const { command } of known) grants.demandCommand(command);
  return known.flatMap(({ description, command }) => (grants.allows(command) ? [description] : []));
}

/** A command that forgot to say so must not do as the server what its caller may only do as another user. */
function notHere(what: string): Error {
  return new Error(`A command that touches ${what} is done as its caller's user only if it says asUser`);
}

/** A workspace in which only those variables can be changed that its caller may set. */
function toBounded(workspace: WorkspaceAccess, { grants }: Identity, role: Role): WorkspaceAccess {
  if (role.environment === undefined && !grants.isNarrowed) return workspace;
  return Object.create(workspace, {
    change: {
      value: async (change: VariableChange) => {
        const { set, unset, inherit } = change;
        grants.demandVariables(role, [...Object.keys(set), ...unset, ...inherit], "change the workspace");
        await workspace.change(change);
      },
    },
  });
}
