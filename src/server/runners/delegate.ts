import * as v from "valibot";
import { cd } from "../../commands/cd.ts";
import type { JobAccess } from "../../commands/access/jobs.ts";
import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import { cwd } from "../../commands/cwd.ts";
import { after } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import type { JobSummary } from "../../protocol/job.ts";
import { FilePath, fromBytes, toBytes } from "../../protocol/path.ts";
import { DEFAULT_WORKSPACE } from "../../protocol/workspace.ts";
import type { Surroundings } from "../../runner/call.ts";
import type { Identity } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import type { Confinement } from "../files/confinement.ts";
import type { OwnFiles } from "../files/marks.ts";
import { systemError } from "../files/place.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { type Login, toGround } from "../logins/login.ts";
import { toKnownJobs } from "../machine/known-jobs.ts";
import { inTurns } from "../machine/processes.ts";
import type { Footing } from "../workspaces/access.ts";
import type { Directories } from "../workspaces/directory.ts";
import { type Ground, UNCHANGED, withHome, Workspace } from "../workspaces/workspace.ts";
import type { RunnerCommand } from "./builtin-task.ts";
import type { Runners } from "./runners.ts";

/** Milliseconds for which a program that is to be started may wait until somebody looks where. */
const START_PATIENCE = 10_000;

export interface DelegateOptions {
  readonly runners: Runners;
  readonly jobs: Pick<Jobs, "leaders" | "find">;
  /** The server's own, as jobs inherit it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly umask: number;
  /** What the server lives on. */
  readonly own: () => OwnFiles;
}

/** Who calls in which role, and so where he may go. */
export interface Bounded {
  readonly identity: Identity;
  readonly role: Role;
}

/** One call that is done as another user. */
export interface DelegatedCall extends Bounded {
  readonly login: Login;
  readonly command: RunnerCommand & { readonly asksJobs?: true };
  /** As it came from the caller. */
  readonly input: unknown;
  readonly workspace: Pick<WorkspaceAccess, "name" | "cwd" | "environment">;
  readonly jobs: Pick<JobAccess, "get">;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Has runners do what is to be done as another user, and gives them what they may know for it. */
export class Delegate {
  readonly #options: DelegateOptions;

  constructor(options: DelegateOptions) {
    this.#options = options;
  }

  /** What the workspaces of a call are made on, and who looks at their directories. `signal`: of that call. */
  toFooting(login: Login, caller: Bounded, signal: AbortSignal): Footing {
    return { ground: this.#toGround(login, caller), directories: this.#toDirectories(login, caller, signal) };
  }

  /** What judges as him where a program may start: what he may not see, he is not told of. `signal`: of that call. */
  confine(login: Login, caller: Bounded, signal: AbortSignal): Pick<Confinement, "check"> {
    return {
      check: async (path) => {
        const why = "too many of your other calls are under way as that user; try again later";
        const late = new AppError("unavailable", `Cannot start anything as "${login.name}": ${why}`);
        // Whoever looks for the job meanwhile, or stops the server, waits for what comes of this.
        const over = new AbortController();
        using _limit = after(START_PATIENCE, () => over.abort(late));
        const { ground, directories } = this.toFooting(login, caller, AbortSignal.any([signal, over.signal]));
        const start = new Workspace({ owner: login.name, name: DEFAULT_WORKSPACE }, UNCHANGED, ground);
        try {
          return Buffer.from(await directories.find(start, path));
        } catch (error) {
          throw systemError(toFault(error));
        }
      },
    };
  }

  /** Does a call: what that says on the way, and its result. */
  async *run(call: DelegatedCall, signal: AbortSignal): AsyncGenerator<unknown, unknown, void> {
    const { login, command, input, bytes, workspace } = call;
    const { runners } = this.#options;
    const jobs = command.asksJobs ? await this.#listJobs(call, signal) : undefined;
    const surroundings: Surroundings = {
      workspace: {
        name: workspace.name,
        cwd: workspace.cwd,
        home: fromBytes(this.#toGround(login, call).home),
        environment: workspace.environment,
      },
      umask: this.#options.umask,
      ...this.#toBounds(call),
      ...(jobs && { jobs }),
    };
    const task = { command, call: { command: command.name, input, surroundings }, input: bytes };
    return yield* runners.run(login, call.identity.owner, task, signal);
  }

  /** He begins at home, or in the one directory to which he is kept. */
  #toGround(login: Login, { identity, role }: Bounded): Ground {
    return withHome(toGround(login, this.#options.environment), identity.grants.homeOf(role));
  }

  #toBounds({ identity: { grants }, role }: Bounded): Pick<Surroundings, "bounds"> {
    const roots = grants.reachOf(role);
    if (roots === undefined) return {};
    const { sealed, fixed } = this.#options.own();
    const own = { sealed: [...sealed], fixed: [...fixed] };
    return { bounds: { roots: roots.map((list) => [...list]), own, isFree: grants.isFreeAs(role) } };
  }

  async #listJobs(
    { identity, input, jobs: access }: DelegatedCall,
    signal: AbortSignal,
  ): Promise<NonNullable<Surroundings["jobs"]>> {
    const { jobs } = this.#options;
    const named = await findNamed(input, access);
    const leaders: NonNullable<Surroundings["jobs"]>["leaders"] = [];
    for await (const { process, job } of inTurns(toKnownJobs(jobs, identity).leaders(), signal))
      leaders.push({ job, ...(process && { process }) });
    return { leaders, ...(named && { named }) };
  }

  /** What leads somewhere is found by `cd`, and what is wrong with a directory by `cwd`, as they are done there. */
  #toDirectories(login: Login, caller: Bounded, signal: AbortSignal): Directories {
    const { runners, umask } = this.#options;
    const bounds = this.#toBounds(caller);
    const ask = async ({ id, ground, ...workspace }: Workspace, command: RunnerCommand, input: unknown) => {
      const { environment } = ground;
      const place = {
        name: id.name,
        cwd: fromBytes(workspace.cwd),
        home: fromBytes(ground.home),
        environment,
      };
      const call = { command: command.name, input, surroundings: { workspace: place, umask, ...bounds } };
      const task = { command, call, input: NOTHING };
      const answer = runners.run(login, caller.identity.owner, task, signal);
      const { value } = await answer.next();
      return value;
    };
    let before: Promise<unknown> = Promise.resolve();
    return {
      async find(workspace, path) {
        const found = v.parse(cd.result, await ask(workspace, cd, { path: toHere(path) }));
        const directory = found.cwdBytes === undefined ? found.cwd : { bytes: found.cwdBytes };
        return toBytes(v.parse(FilePath, directory));
      },
      findFault(workspace) {
        // One after another: they are many where all workspaces are looked at.
        const found = before.then(() => ask(workspace, cwd, {})).then(() => undefined, toFault);
        before = found.catch(() => {});
        return found;
      },
    };
  }
}

const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

/** `-` is no path to `cd`, unless it is written so. */
function toHere(path: Uint8Array): FilePath {
  const written = fromBytes(path);
  return written === "-" ? "./-" : written;
}

/** The job that the input refers to, if it refers to one. */
async function findNamed(input: unknown, jobs: Pick<JobAccess, "get">): Promise<JobSummary | undefined> {
  const parsed = v.safeParse(v.object({ job: v.string() }), input);
  return parsed.success ? await jobs.get(parsed.output.job) : undefined;
}

/** The system's code in a refusal. */
function toFault(error: unknown): string {
  const os = error instanceof AppError && error.code === "os_error" ? error.details?.["os"] : undefined;
  if (typeof os === "string") return os;
  throw error;
}
