import { describeError, type Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import type { HolderId } from "../../protocol/id.ts";
import type { Outcome } from "../../protocol/outcome.ts";
import { ExecutionId, type TaskName } from "../../protocol/task.ts";
import type { Job } from "../jobs/job.ts";
import { isLimit, type TaskEnding, toCrash } from "./ending.ts";
import { type Answer, type Args, Execution, type Process } from "./execution.ts";
import { Feed } from "./feed.ts";
import { follow } from "./following.ts";
import type { Heard } from "./hearing.ts";
import type { Place } from "./place.ts";
import { Probe } from "./probe.ts";
import { applyTold, type Marked, parseMarked, parseReady, toThrownError } from "./told.ts";

export interface TaskProcessOptions {
  readonly ledgers: string;
  readonly task: TaskName;
  readonly job: Job;
  readonly holder: HolderId;
  readonly restarts: number;
  readonly buffer: Uint8Array;
  readonly log: Log;
  /** An execution of a server before us. */
  readonly onFound: (execution: Execution) => void;
  /** An execution is over, and another may begin; or none was under way in the first place. */
  readonly onFree: (execution: Execution | undefined) => void;
  /** A state is to be written down; nothing more is heard until that is done. */
  readonly onSaved: (place: Place) => Promise<void>;
  /** A server before us has told it to end, and whoever saw to that is gone. */
  readonly onEnding: () => void;
  /** Ends the job at once. */
  readonly kill: () => Promise<void>;
}

/** One process of a task, which does one execution after another. */
export class TaskProcess implements Disposable {
  /** A server before us has started it, and may have had it do something. */
  readonly isAdopted: boolean;
  readonly #options: TaskProcessOptions;
  readonly #feed: Feed;
  readonly #stopped = new AbortController();
  readonly #probe: Probe;
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<TaskEnding>();
  readonly #settled = Promise.withResolvers<void>();
  /** What `exit` is called under, and has answered. */
  #exit: { readonly id: ExecutionId; answer: Answer | undefined } | undefined;
  #current: Execution | undefined;
  /** The last that it has told to have begun. */
  #begun: ExecutionId | undefined;
  /** The mark that is not answered yet: until then nobody knows what was begun before. */
  #mark: ExecutionId | undefined;
  /** A state that is still to be written down. */
  #unsaved: Place | undefined;
  #process: Process;
  #isReady = false;
  #lastWord: Exclude<TaskEnding, { readonly type: "died" }> | undefined;
  #isNoisy = false;

  constructor(options: TaskProcessOptions, isAdopted: boolean) {
    const { job, restarts } = options;
    this.#options = options;
    this.isAdopted = isAdopted;
    this.#process = { job: job.start.job, restarts, restored: false };
    this.#feed = new Feed(job);
    this.#probe = new Probe((mark) => this.#feed.put("mark", mark));
    this.#ready.promise.catch(() => {}); // who does not wait for it hears of the end
    if (isAdopted) this.#ask();
    else this.#settled.resolve();
    this.#startFollowing();
  }

  get process(): Process {
    return this.#process;
  }

  get current(): Execution | undefined {
    return this.#current;
  }

  /** Resolves when it is known what it was told to do by a server before us, or it has ended. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Whether that is known. */
  get isCertain(): boolean {
    return this.#mark === undefined;
  }

  get isFree(): boolean {
    return (
      this.#isReady && this.#mark === undefined && this.#current === undefined && this.#exit === undefined
    );
  }

  /** Resolves when `init` has returned; rejects with what it throws, or `crashed`. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get ended(): Promise<TaskEnding> {
    return this.#ended.promise;
  }

  get exitAnswer(): Answer | undefined {
    return this.#exit?.answer;
  }

  /** Has it do this; to be called only when it is free. */
  execute(execution: Execution): void {
    const { args = new Uint8Array(0) } = execution;
    execution.args = undefined;
    execution.begin(this.#process);
    this.#current = execution;
    this.#feed.send("run", execution.id, args, this.#stopped.signal).then(
      () => this.#probe.begin(execution),
      (error: unknown) => {
        execution.fail(toIncomplete(execution.id, error));
        this.#free(execution);
      },
    );
  }

  /** Tells it to end, whatever it does. What its `exit` answers is told under this id. */
  async end(id: ExecutionId, args: Args): Promise<void> {
    this.#probe[Symbol.dispose](); // it would have it forget what it got of them
    this.#exit = { id, answer: undefined };
    await this.#feed.send("exit", id, args, this.#stopped.signal);
  }

  /** Runs by itself until it is over, and logs what should never happen. */
  kill(): void {
    const { task, log, kill } = this.#options;
    kill().catch((error: unknown) => log.warn("task not killed", { task, error: describeError(error) }));
  }

  /** The process goes on, and whoever comes next finds it. */
  [Symbol.dispose](): void {
    this.#stopped.abort(new AppError("shutting_down", "The server stops"));
    this.#feed[Symbol.dispose]();
    this.#probe[Symbol.dispose]();
  }

  #startFollowing(): void {
    const { task, job, log } = this.#options;
    follow({ ...this.#options, onHeard: (heard) => this.#hear(heard) }, this.#stopped.signal)
      .then(() => this.#end(job.exit?.outcome ?? { type: "lost", since: new Date().toISOString() }))
      .catch((error: unknown) => {
        if (this.#stopped.signal.aborted) return;
        log.error("task not followed any more", { task, job: job.start.job, error: describeError(error) });
        this.kill();
        this.#unsaved = undefined; // it cannot be read either
        return this.#end({ type: "lost", since: new Date().toISOString() });
      });
  }

  #hear(heard: Heard): Promise<void> | void {
    switch (heard.type) {
      case "told":
        return this.#take(heard);
      case "exit":
        return this.#end(heard.exit.outcome);
      case "gap":
        return this.#ask();
      case "noise": {
        if (this.#isNoisy) return;
        this.#isNoisy = true;
        return this.#options.log.warn("task says what no task says", { task: this.#options.task });
      }
    }
  }

  #take(heard: Extract<Heard, { readonly type: "told" }>): Promise<void> | void {
    const { told, place } = heard;
    switch (told.type) {
      case "ready":
        this.#process = { ...this.#process, restored: parseReady(told).restored };
        this.#isReady = true;
        this.#ready.resolve();
        return this.#free(undefined);
      case "began":
        this.#begun = told.id;
        return void (told.id && this.#toCurrent(told.id));
      case "responded":
        if (told.id !== undefined && told.id === this.#exit?.id)
          this.#exit.answer = { job: this.#process.job, place, payload: told.payload };
        return this.#apply(heard);
      case "finished":
      case "threw":
        return this.#apply(heard);
      case "saved":
        // Of all that a server before us has heard the last will do.
        if (this.#mark === undefined) return this.#options.onSaved(place);
        this.#unsaved = place;
        return;
      case "failed":
      case "broken":
        this.#lastWord = { type: told.type, error: toThrownError(told) };
        return;
      case "exited":
        this.#lastWord = { type: "exited" };
        return;
      case "marked":
        if (told.id === this.#mark) return this.#settle(parseMarked(told));
        return this.#compare(this.#probe.find(told.id), parseMarked(told).running);
    }
  }

  #apply(heard: Extract<Heard, { readonly type: "told" }>): void {
    const execution = this.#current;
    if (execution === undefined || heard.told.id !== execution.id) return;
    applyTold(execution, heard, this.#process.job);
    if (execution.isOver) this.#free(execution);
  }

  /** The execution of this id is under way; before a mark is answered it may be one of a server before us. */
  #toCurrent(id: ExecutionId): Execution {
    if (this.#current?.id === id) return this.#current;
    const found = new Execution(id);
    found.begin(this.#process);
    this.#options.onFound(found);
    this.#current = found;
    return found;
  }

  /** Nobody knows what it is doing, but it. */
  #ask(): void {
    this.#mark = crypto.randomUUID() as ExecutionId;
    this.#feed.put("mark", this.#mark);
  }

  /** It was asked about this one, and does that one. */
  #compare(execution: Execution | undefined, running: ExecutionId | undefined): void {
    if (execution === undefined || execution !== this.#current || execution.id === running) return;
    execution.fail(toLost(execution.id, this.#options.task));
    this.#free(execution);
  }

  async #settle({ running, isEnding }: Marked): Promise<void> {
    const { task, onEnding } = this.#options;
    await this.#saveLast();
    this.#mark = undefined;
    this.#settled.resolve();
    const lost = this.#current?.id === running ? undefined : this.#current;
    lost?.fail(toLost(lost.id, task));
    if (isEnding && this.#exit === undefined) onEnding();
    if (running !== undefined) this.#probe.begin(this.#toCurrent(running));
    else this.#free(lost);
  }

  async #saveLast(): Promise<void> {
    const place = this.#unsaved;
    this.#unsaved = undefined;
    if (place !== undefined) await this.#options.onSaved(place);
  }

  #free(execution: Execution | undefined): void {
    this.#probe[Symbol.dispose]();
    if (this.#current === execution) this.#current = undefined;
    this.#options.onFree(execution);
  }

  async #end(outcome: Outcome): Promise<void> {
    const { task } = this.#options;
    await this.#saveLast();
    const died = { type: "died", outcome } as const;
    const ending = isLimit(outcome) ? died : (this.#lastWord ?? died);
    const current = this.#current;
    // Where it ended properly all is told, also that it began nothing else.
    const isLeft = ending.type === "exited" && current?.id !== this.#begun;
    const what = `Cannot ${isLeft ? "start" : "finish"} execution ${current?.id} of task "${task}"`;
    const crash = toCrash(what, outcome, this.#exit !== undefined);
    current?.fail(isLeft ? new AppError("not_started", crash.message) : crash);
    this.#isReady = false;
    if (current !== undefined) this.#free(current);
    const error = "error" in ending ? ending.error : toCrash(`Cannot start task "${task}"`, outcome, false);
    this.#ready.reject(error);
    this.#settled.resolve();
    this.#ended.resolve(ending);
    this[Symbol.dispose]();
  }
}

function toLost(id: ExecutionId, task: TaskName): AppError {
  return new AppError(
    "incomplete_output",
    `Cannot tell what became of execution ${id} of task "${task}": its record is gone`,
  );
}

/** What it was given did not come whole, so that it never began. */
function toIncomplete(id: ExecutionId, error: unknown): AppError {
  const why = error instanceof AppError ? error.message : "what it was to be given did not come";
  return new AppError("not_started", `Cannot start execution ${id}: ${why}`, { cause: error });
}
