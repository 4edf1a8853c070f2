import type { JobAccess } from "../../commands/access/jobs.ts";
import type { CommandContext } from "../../commands/context.ts";
import { toBytes } from "../../protocol/path.ts";
import type { Surroundings } from "../../runner/call.ts";
import type { CallShare } from "../../runner/work.ts";
import { toLoginShell, toShell } from "../environment.ts";
import { Files } from "../files/files.ts";
import type { KnownJobs } from "../machine/known-jobs.ts";
import { Machine } from "../machine/machine.ts";
import { toAccess } from "../workspaces/access.ts";
import { toDirectories } from "../workspaces/directory.ts";
import { type Ground, Workspace } from "../workspaces/workspace.ts";

/** Whose the workspace is, which no command asks. */
const NOBODY = "";

/** What commands are given in a runner: files and the machine as whom it is, and a copy of the call's workspace. */
export function createRunnerContexts(): (surroundings: Surroundings, share: CallShare) => CommandContext {
  const known = new Map<string, Files>();
  return ({ workspace: { name, cwd, home, environment }, umask, bounds, jobs }, { signal, input }) => {
    const ground: Ground = { home: toBytes(home), environment };
    const copy = new Workspace({ owner: NOBODY, name }, { cwd, set: {}, unset: [] }, ground);
    const shelf = {
      use: () => copy,
      // What comes of a change is told, and kept by the server.
      change: async (_name: string, toNext: (current: Workspace) => Workspace["contents"]) =>
        new Workspace(copy.id, toNext(copy), ground),
    };
    const own = bounds?.own ?? { sealed: [], fixed: [] };
    const key = JSON.stringify([umask, own]);
    const files = known.get(key) ?? new Files({ umask, own: () => own });
    known.set(key, files);
    const confinement = files.confine(bounds?.roots);
    const access = toAccess(name, shelf, { ground, directories: toDirectories(confinement) });
    const machine = new Machine({ environment });
    return {
      signal,
      input,
      workspace: access,
      files: files.access(copy.cwd, signal, confinement),
      machine: machine.access(access, {
        jobs: toKnownJobs(jobs),
        confinement: bounds?.isFree ? undefined : confinement,
        signal,
      }),
      jobs: toJobAccess(jobs),
      get workspaces() {
        return refuse("workspaces");
      },
      get tasks() {
        return refuse("tasks");
      },
      get server() {
        return refuse("server");
      },
      toShell,
      toLoginShell,
    };
  };
}

function toKnownJobs(jobs: Surroundings["jobs"]): KnownJobs {
  const leaders = (jobs?.leaders ?? []).map(({ process, job }) => ({ process, job }));
  return {
    leaders: () => leaders,
    findName: (id) => leaders.find(({ job }) => job.id === id)?.job,
  };
}

/** The one that the call names, and no more. */
function toJobAccess(jobs: Surroundings["jobs"]): JobAccess {
  const named = jobs?.named;
  return new Proxy({} as JobAccess, {
    get: (_target, verb) => (verb === "get" && named ? async () => named : refuse("jobs")),
  });
}

function refuse(what: string): never {
  throw new Error(`A command that is done as another user asks for the server's ${what}`);
}
