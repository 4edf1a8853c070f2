import { abortable } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import type { ExecutionId, TaskDetails, TaskSummary } from "../../protocol/task.ts";
import { type Args, Execution } from "./execution.ts";
import type { Launcher } from "./launcher.ts";
import { Life } from "./life.ts";
import { lookUp } from "./lookup.ts";
import { Memory } from "./memory.ts";
import { Queue } from "./queue.ts";
import type { TaskRecord } from "./store.ts";

/** One task: what waits for it, what it does, and what has become of that. */
export class Task {
  readonly life: Life;
  readonly #launcher: Launcher;
  readonly #queue = new Queue();
  readonly #memory: Memory;
  readonly #executed = { finished: 0, threw: 0, crashed: 0 };

  /** `until`: when a server before us may still have used it, in milliseconds since 1970; 0 for a new one. */
  constructor(record: TaskRecord, launcher: Launcher, until: number) {
    this.#launcher = launcher;
    this.#memory = new Memory(until);
    this.life = new Life(record, launcher, {
      onFound: (execution) => this.#memory.add(execution),
      onFree: (execution) => this.#goOn(execution),
      onDown: (why) => this.#drop(why),
    });
  }

  get name(): TaskRecord["name"] {
    return this.life.record.name;
  }

  /** Whether its name is taken. */
  get isUp(): boolean {
    return this.life.state !== "stopped" && this.life.state !== "failed";
  }

  /**
   * Accepts an execution, or answers the one of this id, however long ago that was. Throws `not_running`, `queue_full`, and
   * `incomplete_output` for one of which nobody can tell any more what it did.
   */
  async accept(id: ExecutionId, args: Args, signal: AbortSignal): Promise<Execution> {
    const had = this.#memory.find(id) === undefined ? this.#memory.has(id) : "never";
    if (had === "never") return this.#enqueue(id, args);
    const found = await this.#find(id, signal);
    if (found instanceof Execution) return found;
    // Of what is only as old as that, and not recorded, a clock that is slow is more likely than a second time.
    const isNew = had === "perhaps" && found.code === "incomplete_output" && !this.life.record.isUncertain;
    if (found.code === "not_started" || isNew) return this.#enqueue(id, args);
    throw found;
  }

  /** Throws as `accept` does for one that is new, and is given so many bytes. */
  demand(id: ExecutionId, bytes: number): void {
    if (this.#memory.has(id) !== "never") return;
    this.#demandUp();
    this.#queue.demand(bytes);
  }

  /** What is known of an execution. Throws `not_started`, and `incomplete_output` where that cannot be told. */
  async find(id: ExecutionId, signal: AbortSignal): Promise<Execution> {
    const found = await this.#find(id, signal);
    if (found instanceof Execution) return found;
    throw found;
  }

  #enqueue(id: ExecutionId, args: Args): Execution {
    const known = this.#memory.find(id);
    // One that was not begun may be asked for again.
    if (known !== undefined && known.error?.code !== "not_started") return known;
    this.#demandUp();
    const execution = new Execution(id, args);
    this.#queue.push(execution);
    this.#memory.add(execution);
    this.#pump();
    return execution;
  }

  #demandUp(): void {
    if (!this.isUp || this.life.state === "stopping") throw this.#toDown();
  }

  async #find(id: ExecutionId, signal: AbortSignal): Promise<Execution | AppError> {
    const recorded = await this.#search(id);
    if (recorded instanceof Execution || this.life.process?.isCertain !== false) return recorded;
    // What a server before us has told it to do it may not have begun yet.
    await abortable(this.life.process.settled, signal);
    return await this.#search(id);
  }

  /** Looks it up in the records of its jobs, or answers why it is not there. */
  async #search(id: ExecutionId): Promise<Execution | AppError> {
    const { job: last, former, isUncertain, restarts, restored } = this.life.record;
    let hasGaps = isUncertain;
    for (const job of [last, ...former]) {
      const known = this.#memory.find(id);
      if (known !== undefined) return known;
      const trace = await lookUp(this.#launcher.ledgers, { job, restarts, restored }, id);
      if (trace.execution?.isOver) return trace.execution;
      // It may have begun, and be remembered, since that was read.
      if (trace.execution !== undefined)
        return this.#memory.find(id) ?? toUnknown(id, "its process has died");
      hasGaps ||= trace.hasGaps;
    }
    const known = this.#memory.find(id);
    if (known !== undefined) return known;
    if (hasGaps) return toUnknown(id, "some of what the task has said is gone");
    return toNotStarted(id, "it was never begun");
  }

  summarize(): TaskSummary {
    const { record, state, process } = this.life;
    const { name, owner, module, restart, checkpoint, startedAt, restarts, restored, error, job } = record;
    const number = this.#launcher.find(job)?.start.number;
    const execution = process?.current?.id;
    return {
      ...{ name, state, owner, module, restart, checkpoint, startedAt, restarts, restored },
      ...(number !== undefined && { job: { id: job, number } }),
      waiting: this.#queue.size,
      ...(execution && { execution }),
      ...(error && { error }),
    };
  }

  describe(): TaskDetails {
    const { record, restartsAt } = this.life;
    const { cwd, role, saved, module } = record;
    return {
      ...this.summarize(),
      cwd,
      role: role.name,
      executed: { ...this.#executed },
      ...(saved && { saved }),
      ...(restartsAt !== undefined && { restartsAt: new Date(restartsAt).toISOString() }),
      waitingBytes: this.#queue.bytes,
      moduleBytes: this.#launcher.modules.measure(module),
    };
  }

  #goOn(execution: Execution | undefined): void {
    if (execution !== undefined) {
      this.#memory.settle(execution);
      this.#count(execution);
    }
    this.#pump();
  }

  #count({ error }: Execution): void {
    if (error === undefined) this.#executed.finished++;
    else if (error.code === "crashed") this.#executed.crashed++;
    else if (error.code !== "not_started") this.#executed.threw++;
  }

  /** Nothing that waits is begun any more. Answers how much did. */
  #drop(why: string): number {
    const all = this.#queue.clear();
    for (const execution of all) {
      execution.fail(toNotStarted(execution.id, why));
      this.#memory.settle(execution);
    }
    return all.length;
  }

  #pump(): void {
    const { process } = this.life;
    if (process?.isFree !== true) return;
    const execution = this.#queue.shift();
    if (execution !== undefined) process.execute(execution);
  }

  #toDown(): AppError {
    const { name, error } = this.life.record;
    const why = error === undefined ? "it was stopped" : `it has ended: ${error.message}`;
    return new AppError(
      "not_running",
      `Cannot use task "${name}": ${why}; farhand task restart ${name} starts it`,
    );
  }
}

function toNotStarted(id: ExecutionId, why: string): AppError {
  return new AppError("not_started", `Cannot start execution ${id}: ${why}`);
}

function toUnknown(id: ExecutionId, why: string): AppError {
  return new AppError("incomplete_output", `Cannot tell what became of execution ${id}: ${why}`);
}
