import { after, delay } from "../../lib/abort.ts";
import { backoff } from "../../lib/backoff.ts";
import { describeError } from "../../lib/log.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import { AppError, toErrorBody } from "../../protocol/error.ts";
import { DEFAULT_GRACE } from "../../protocol/limits.ts";
import type { HolderId, JobId } from "../../protocol/id.ts";
import type { ExecutionId, TaskState } from "../../protocol/task.ts";
import type { Answer, Execution } from "./execution.ts";
import type { Launcher } from "./launcher.ts";
import { lookUp } from "./lookup.ts";
import { type Place, readPayload } from "./place.ts";
import type { TaskRecord } from "./store.ts";
import { TaskProcess } from "./task-process.ts";
import { isLimit, type TaskEnding, toCrash } from "./ending.ts";

/** Milliseconds until a process is started again that has died, and for how long one must live for that to begin anew. */
const RESTART = { first: 500, cap: 30_000, random: () => 0 } as const;
const HEALTHY = 30_000;

/** What `exit` is given where nobody has said that. */
const NOTHING = encodeValue(undefined);

/** Jobs that a task was before, in whose records executions are looked up. */
const FORMER_JOBS = 8;

/** Whoever gives a task's processes something to do. */
export interface Work {
  /** An execution of a server before us. */
  readonly onFound: (execution: Execution) => void;
  /** An execution is over, if one was under way, and another may begin. */
  readonly onFree: (execution: Execution | undefined) => void;
  /** Nothing that waits is begun any more. Answers how much did. */
  readonly onDown: (why: string) => number;
}

/** How a task is told to end. */
export interface StopOrder {
  /** What its `exit` is given. */
  readonly args: Uint8Array;
  /** Milliseconds that what runs has. */
  readonly grace: number;
  /** Under which what `exit` answers is told, if whoever asks may ask again. */
  readonly id?: ExecutionId | undefined;
}

/** What came of the end of a task. */
export interface Stopped {
  readonly end: "exited" | "killed" | "down";
  readonly dropped: number;
  readonly job: JobId;
  readonly answer: Answer | undefined;
}

/** The processes of a task, one after the other: how they are started, and what becomes of it when one ends. */
export class Life {
  readonly #launcher: Launcher;
  readonly #work: Work;
  #record: TaskRecord;
  #state: TaskState;
  /** Whether the job that the record names may have been started. */
  #hasBegun = false;
  #process: TaskProcess | undefined;
  /** The next process is started then. */
  #waiting: { readonly controller: AbortController; readonly until: number } | undefined;
  #delays = backoff(RESTART);
  /** What is done to it is done one after the other. */
  #turns: Promise<unknown> = Promise.resolve();

  constructor(record: TaskRecord, launcher: Launcher, work: Work) {
    this.#record = record;
    this.#launcher = launcher;
    this.#work = work;
    this.#state = record.wish === "run" ? "starting" : record.wish;
  }

  get record(): TaskRecord {
    return this.#record;
  }

  get state(): TaskState {
    return this.#state;
  }

  get process(): TaskProcess | undefined {
    return this.#process;
  }

  /** When the next process is started, in milliseconds since 1970. */
  get restartsAt(): number | undefined {
    return this.#waiting?.until;
  }

  /** Starts it, and resolves when its `init` has returned. Throws what that throws, and why it could not be started. */
  async start(): Promise<void> {
    const process = await this.#inTurn(async () => {
      const process = await this.#launch().catch(async (error: unknown) => {
        await this.#conclude("failed", error);
        throw error;
      });
      this.#tend(process, false);
      return process;
    });
    await process.ready;
  }

  /** Goes on with what a server before us has left. */
  adopt(): void {
    this.#hasBegun = true;
    if (this.#record.wish !== "run") return;
    const job = this.#launcher.find(this.#record.job);
    if (job === undefined) {
      const error = new AppError(
        "not_started",
        `Cannot start task "${this.#record.name}": the server ended before it did`,
      );
      return this.#run("task not given up", this.#conclude("failed", error));
    }
    this.#launcher.hold(job, this.#record);
    this.#tend(this.#toProcess(true), true);
  }

  /** Ends it: what runs has `grace` ms, what waits is refused. Throws what its `exit` throws. */
  stop(order: StopOrder): Promise<Stopped> {
    return this.#inTurn(() => this.#stop(order));
  }

  /** Ends its process, and starts it with the state that was saved last. */
  async restart(grace: number): Promise<void> {
    await this.stop({ args: NOTHING, grace }).catch((error: unknown) =>
      this.#note("exit of task failed", error),
    );
    this.#record = { ...this.#record, restarts: this.#record.restarts + 1 };
    await this.start();
  }

  /** The server stops; its process goes on. */
  leave(): void {
    this.#waiting?.controller.abort(new AppError("shutting_down", "The server stops"));
    this.#process?.[Symbol.dispose]();
    this.#work.onDown("the server stops");
  }

  async #stop({ args, grace, id }: StopOrder): Promise<Stopped> {
    this.#waiting?.controller.abort(new AppError("cancelled", "The task was stopped"));
    this.#waiting = undefined;
    const process = this.#process;
    const { job } = this.#record;
    this.#state = "stopping";
    const dropped = this.#work.onDown("the task was stopped");
    if (process === undefined) {
      await this.#conclude("stopped", undefined);
      // A server before us may have seen to it.
      const exit = await this.#findExit(id);
      return { end: exit === undefined ? "down" : "exited", dropped, job, answer: exit?.answer };
    }
    using _limit = after(grace, () => process.kill());
    process.end(id ?? (crypto.randomUUID() as ExecutionId), args).catch(() => process.kill());
    const ending = await process.ended;
    await this.#conclude("stopped", undefined);
    if (ending.type === "broken") throw ending.error;
    const end = ending.type === "exited" ? "exited" : "killed";
    const answer = process.exitAnswer ?? (process.isAdopted ? (await this.#findExit(id))?.answer : undefined);
    return { end, dropped, job, answer };
  }

  /** What the record of its last job tells of an end that was asked for under this id. */
  async #findExit(id: ExecutionId | undefined): Promise<Execution | undefined> {
    const { job, restarts, restored } = this.#record;
    if (id === undefined) return undefined;
    return (await lookUp(this.#launcher.ledgers, { job, restarts, restored }, id)).execution;
  }

  async #launch(): Promise<TaskProcess> {
    this.#state = "starting";
    const { job: last, former, saved } = this.#record;
    const { error: _over, ...record } = this.#record;
    this.#record = {
      ...record,
      wish: "run",
      holder: crypto.randomUUID() as HolderId,
      ...(this.#hasBegun && {
        job: Bun.randomUUIDv7() as JobId,
        former: [last, ...former].slice(0, FORMER_JOBS),
      }),
      restored: saved !== undefined,
    };
    this.#hasBegun = true;
    // Before it is: whoever comes after us must know what to look for.
    await this.#launcher.store.save(this.#record);
    await this.#launcher.launch(this.#record);
    return this.#toProcess(false);
  }

  #toProcess(isAdopted: boolean): TaskProcess {
    const { job: id, name: task, holder, restarts } = this.#record;
    const { ledgers, buffer, log } = this.#launcher;
    const job = this.#launcher.find(id);
    if (job === undefined) throw new AppError("not_running", `Cannot use task "${task}": its job is gone`);
    const record = this.#record;
    const options = {
      ...{ ledgers, task, job, holder, restarts, buffer, log },
      onFound: this.#work.onFound,
      onFree: this.#work.onFree,
      onSaved: (place: Place) => this.#save(id, place),
      onEnding: () => this.#run("task not stopped", this.stop({ args: NOTHING, grace: DEFAULT_GRACE })),
      kill: () => this.#launcher.kill(record),
    };
    return new TaskProcess(options, isAdopted);
  }

  /** Looks after a process by itself. `wasUp`: whether the task has worked before, so that it is worth another. */
  #tend(process: TaskProcess, wasUp: boolean): void {
    const since = Date.now();
    let isWorth = wasUp;
    this.#process = process;
    process.ready.then(
      () => {
        isWorth = true;
        if (this.#state === "starting") this.#state = "running";
        this.#record = { ...this.#record, restored: process.process.restored };
        this.#work.onFree(undefined);
      },
      () => {}, // its end is told too
    );
    const ended = process.ended.then(async (ending) => {
      this.#process = undefined;
      if (!process.isCertain) this.#record = { ...this.#record, isUncertain: true };
      if (this.#state === "stopping") return;
      if (Date.now() - since >= HEALTHY) this.#delays = backoff(RESTART);
      await this.#takeEnd(ending, isWorth);
    });
    this.#run("end of task not taken", ended);
  }

  async #takeEnd(ending: TaskEnding, isWorth: boolean): Promise<void> {
    const { name, restart } = this.#record;
    if (ending.type === "exited") return await this.#conclude("stopped", undefined);
    const error =
      "error" in ending ? ending.error : toCrash(`Task "${name}" has ended`, ending.outcome, false);
    if (ending.type === "broken" || error.code === "cancelled") return await this.#conclude("stopped", error);
    // Whoever kept it is gone, and what it did may still run: there must not be two of it.
    if (ending.type === "died" && ending.outcome.type === "lost")
      await this.#launcher.kill(this.#record).catch(() => {});
    // A process that is started again would get around what its owner's role allows.
    const isLimited = ending.type === "died" && isLimit(ending.outcome);
    if (restart === "never" || !isWorth || isLimited) return await this.#conclude("failed", error);
    this.#recover(error);
  }

  #recover(error: AppError): void {
    const { name: task } = this.#record;
    const ms = this.#delays.next().value;
    const controller = new AbortController();
    this.#state = "waiting";
    this.#waiting = { controller, until: Date.now() + ms };
    this.#record = { ...this.#record, error: toErrorBody(error), restarts: this.#record.restarts + 1 };
    this.#launcher.log.warn("task died, and is started again", { task, in: ms, error: error.message });
    const again = delay(ms, controller.signal).then(
      () => this.#inTurn(() => this.#again()),
      () => {}, // it was stopped meanwhile
    );
    this.#run("task not started again", again);
  }

  async #again(): Promise<void> {
    if (this.#state !== "waiting") return;
    this.#waiting = undefined;
    const process = await this.#launch().catch(async (error: unknown) => {
      if (error instanceof AppError) return this.#recover(error);
      await this.#conclude("failed", error);
      throw error;
    });
    if (process === undefined) return;
    this.#launcher.onRestarted(this.#record);
    this.#tend(process, true);
  }

  async #save(job: JobId, place: Place): Promise<void> {
    const { name } = this.#record;
    const { store, ledgers } = this.#launcher;
    try {
      const bytes = await store.saveState(name, readPayload(ledgers, job, place));
      this.#record = { ...this.#record, saved: { at: new Date().toISOString(), bytes } };
    } catch (error) {
      this.#note("state of a task not saved: the one before stays", error); // a full disk ends no task
    }
  }

  async #conclude(wish: "stopped" | "failed", error: unknown): Promise<void> {
    this.#state = wish;
    this.#work.onDown("the task has ended");
    const { error: _over, ...record } = this.#record;
    this.#record = { ...record, wish, ...(error !== undefined && { error: toErrorBody(error) }) };
    await this.#launcher.store.save(this.#record);
  }

  async #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(act);
    this.#turns = turn.catch(() => {}); // whoever asked for it is told
    return await turn;
  }

  /** Goes on by itself, and logs what should never happen. */
  #run(what: string, act: Promise<unknown>): void {
    act.catch((error: unknown) => this.#note(what, error));
  }

  #note(what: string, error: unknown): void {
    this.#launcher.log.error(what, { task: this.#record.name, error: describeError(error) });
  }
}
