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
  readonly #memory = new Memory();
  readonly #executed = { finished: 0, threw: 0, crashed: 0 };

  constructor(record: TaskRecord, launcher: Launcher) {
    this.#launcher = launcher;
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

  /** Accepts an execution, or answers the one of this id. Throws `not_running`, `queue_full`. */
  enqueue(id: ExecutionId, args: Args): Execution {
    const known = this.#memory.find(id);
    if (known !== undefined) return known;
    if (!this.isUp || this.life.state === "stopping") throw this.#toDown();
    const execution = new Execution(id, args);
    this.#queue.push(execution);
    this.#memory.add(execution);
    this.#pump();
    return execution;
  }

  /** What is known of an execution. Throws `not_started`, and `incomplete_output` where that cannot be told. */
  async find(id: ExecutionId): Promise<Execution> {
    const recorded = await this.#search(id);
    if (recorded instanceof Execution) return recorded;
    // What a server before us has told it to do it may not have begun yet.
    if (this.life.process?.isCertain === false) await this.life.process.settled;
    const late = await this.#search(id);
    if (late instanceof Execution) return late;
    throw late;
  }

  /** Looks it up in the records of its jobs, or answers why it is not there. */
  async #search(id: ExecutionId): Promise<Execution | AppError> {
    const { job: last, former, isUncertain, restarts, restored } = this.life.record;
    let hasGaps = isUncertain;
    for (const job of [last, ...former]) {
      const trace = await lookUp(this.#launcher.ledgers, { job, restarts, restored }, id);
      const known = this.#memory.find(id);
      if (known !== undefined) return known;
      if (trace.execution?.isOver) return trace.execution;
      if (trace.execution !== undefined) return toUnknown(id, "its process has died");
      hasGaps ||= trace.hasGaps;
    }
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
