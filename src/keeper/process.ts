import type { StartRecord } from "../ledger/start.ts";
import { MARK } from "../process/census.ts";
import type { Cgroup } from "../process/cgroup.ts";
import { confine, findMeans } from "../process/confinement.ts";
import type { Credentials } from "../process/credentials.ts";
import { findStartTime, isAlive, sessionMembers } from "../process/identity.ts";
import { killTree, signalGroup } from "../process/signal.ts";
import type { Launcher } from "../process/launcher.ts";
import type { Libc } from "../process/libc.ts";
import type { Reaper } from "../process/reaper.ts";
import { type Child, spawnProgram } from "../process/spawn.ts";
import type { ProcessTable } from "../process/table.ts";
import { type Order, Termination } from "../process/termination.ts";
import { Tree } from "../process/tree.ts";
import type { Ended, ProcessIdentity } from "../protocol/job.ts";

/** The ending of a job's processes. */
export interface Ending {
  /** Whether the program itself was alive when it was asked for. */
  readonly isCause: boolean;
  readonly ended: Promise<Ended>;
}

export interface ProcessOptions {
  readonly start: StartRecord;
  /** What is run; the start record may not show all of it. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
  readonly stdin: boolean;
  /** It is a runner, which reads its order from stdin, and says values and how it ends. */
  readonly speaks?: boolean | undefined;
  /** What is run, where its argv[0] does not name it. */
  readonly file?: string | undefined;
  /** Whether its directory has no links, and nothing that one leads to by now is it. */
  readonly exact?: boolean | undefined;
  /** As whom it runs, if not as we do. */
  readonly user?: Credentials | undefined;
  readonly libc: Libc | undefined;
  /** Runs this executable to put a program under limits; undefined where the system's own programs do that. */
  readonly launcher: Launcher | undefined;
  /** Waits for orphans, and must leave the program itself to us. */
  readonly reaper: Reaper | undefined;
  /** All jobs look at the same list of processes. */
  readonly table: ProcessTable;
}

/** Starts a job's program, under its limits and with its id in the environment. Throws a `StartError`. */
export function startProcess(options: ProcessOptions): JobProcess {
  const { start, argv, speaks = false, reaper, table, user } = options;
  const { cwd, job, merge, limits = {}, terminal } = start;
  const confinement = confine(limits, job, () => findMeans(user));
  try {
    const env = { ...options.env, [MARK]: job };
    const stdin = options.stdin || speaks;
    const child = spawnProgram({ ...options, argv, cwd, merge, env, stdin, speaks, confinement, terminal });
    reaper?.leave(child.pid, child.exited);
    return new JobProcess(child, job, { group: confinement?.group, table, hangsUp: terminal !== undefined });
  } catch (error) {
    confinement?.group?.[Symbol.dispose]();
    throw error;
  }
}

interface Surroundings {
  readonly group: Cgroup | undefined;
  readonly table: ProcessTable;
  readonly hangsUp: boolean;
}

/** A job's program, and all that came of it. */
export class JobProcess implements Disposable {
  readonly child: Child;
  readonly identity: ProcessIdentity;
  readonly #group: Cgroup | undefined;
  readonly #tree: Tree;
  readonly #hangsUp: boolean;
  #termination: Termination | undefined;
  /** Endings that were asked for, until it is known whether there is anything to end. */
  readonly #asked = new Set<Promise<unknown>>();
  /** The leader is waited for, so that its pid may be given to another process. */
  #reaped = false;

  /** `job`: the id that its processes carry. `group`: the control group that they are in. `hangsUp`: on a terminal, which hangs up. */
  constructor(child: Child, job: string, { group, table, hangsUp }: Surroundings) {
    this.child = child;
    this.identity = { pid: child.pid, startTime: findStartTime(child.pid) ?? "" };
    this.#group = group;
    this.#hangsUp = hangsUp;
    this.#tree = new Tree({
      leader: this.identity,
      mark: job,
      pipes: child.pipes,
      group,
      table,
      adopter: process.platform === "linux" ? process.pid : undefined,
      since: performance.now(),
    });
    const note = () => void (this.#reaped = true);
    child.exited.then(note, note);
  }

  /** Resolves when none of its processes is being ended, or looked for to that end. */
  async settled(): Promise<void> {
    for (;;) {
      const [asked] = this.#asked;
      const under = asked ?? this.#termination?.ended;
      if (under === undefined) return;
      await Promise.allSettled([under]);
    }
  }

  /** Sends a signal to the whole group, and answers whether there was one. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#hasGroup() && signalGroup(this.identity.pid, signal);
  }

  /** Ends every process that is left; undefined when there is none. */
  end(order: Order): Promise<Ending | undefined> {
    const ending = this.#end(order);
    this.#asked.add(ending);
    const forget = () => void this.#asked.delete(ending);
    ending.then(forget, forget);
    return ending;
  }

  [Symbol.dispose](): void {
    this.#group?.[Symbol.dispose]();
  }

  async #end(order: Order): Promise<Ending | undefined> {
    const living = await this.#tree.findSoon();
    if (living.length === 0) return undefined;
    const isCause = !this.#reaped && living.some(({ pid }) => pid === this.identity.pid);
    const under = this.#termination;
    under?.hurry(order);
    return { isCause, ended: (under ?? this.#begin(order)).ended };
  }

  #begin(order: Order): Termination {
    const termination = new Termination(
      {
        find: () => this.#tree.findSoon(),
        leader: this.identity,
        killAll: () => this.#killAll(),
        hangsUp: this.#hangsUp,
      },
      order,
    );
    this.#termination = termination;
    const forget = () => void (this.#termination = undefined);
    termination.ended.then(forget, forget);
    return termination;
  }

  /** In whatever way the system has for that, if any. */
  #killAll(): void {
    this.#group?.kill();
    if (process.platform === "win32" && isAlive(this.identity)) killTree(this.identity.pid);
  }

  /** After the leader is reaped its pid may be another's, unless members of its session keep it taken. */
  #hasGroup(): boolean {
    return !this.#reaped || sessionMembers(this.identity).length > 0;
  }
}
