import type { Cgroup } from "../process/cgroup.ts";
import { findStartTime, sessionMembers } from "../process/identity.ts";
import { killTree, signalGroup } from "../process/signal.ts";
import type { Child } from "../process/spawn.ts";
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

export interface Surroundings {
  readonly group: Cgroup | undefined;
  readonly table: ProcessTable;
}

/** A job's program, and all that came of it. */
export class JobProcess implements Disposable {
  readonly child: Child;
  readonly identity: ProcessIdentity;
  readonly #group: Cgroup | undefined;
  readonly #tree: Tree;
  #termination: Termination | undefined;
  /** The leader is waited for, so that its pid may be given to another process. */
  #reaped = false;

  /** `job`: the id that its processes carry. `group`: the control group that they are in. */
  constructor(child: Child, job: string, { group, table }: Surroundings) {
    this.child = child;
    this.identity = { pid: child.pid, startTime: findStartTime(child.pid) ?? "" };
    this.#group = group;
    this.#tree = new Tree({
      leader: this.identity,
      mark: job,
      pipes: child.pipes,
      group,
      table,
      adopter: process.platform === "linux" ? process.pid : undefined,
    });
    const note = () => void (this.#reaped = true);
    child.exited.then(note, note);
  }

  /** Resolves when none of its processes is being ended. */
  async settled(): Promise<void> {
    while (this.#termination !== undefined) await this.#termination.ended;
  }

  /** Sends a signal to the whole group, and answers whether there was one. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#hasGroup() && signalGroup(this.identity.pid, signal);
  }

  /** Ends every process that is left; undefined when there is none. */
  end(order: Order): Ending | undefined {
    const living = this.#tree.find();
    if (living.length === 0) return undefined;
    const isCause = living.some(({ pid }) => pid === this.identity.pid);
    const under = this.#termination;
    under?.hurry(order);
    return { isCause, ended: (under ?? this.#begin(order)).ended };
  }

  [Symbol.dispose](): void {
    this.#group?.[Symbol.dispose]();
  }

  #begin(order: Order): Termination {
    const termination = new Termination(
      {
        find: () => this.#tree.find(),
        leader: this.identity,
        killAll: () => (process.platform === "win32" ? killTree(this.identity.pid) : this.#group?.kill()),
      },
      order,
    );
    this.#termination = termination;
    const forget = () => void (this.#termination = undefined);
    termination.ended.then(forget, forget);
    return termination;
  }

  /** After the leader is reaped its pid may be another's, unless members of its session keep it taken. */
  #hasGroup(): boolean {
    return !this.#reaped || sessionMembers(this.identity).length > 0;
  }
}
