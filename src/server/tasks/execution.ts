import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import type { AppError } from "../../protocol/error.ts";
import type { JobId } from "../../protocol/id.ts";
import type { ExecutionId, ExecutionWait } from "../../protocol/task.ts";
import type { Place } from "./place.ts";

/** What an execution has answered: where in a job's record that is, as CBOR with its tag. */
export interface Answer {
  readonly job: JobId;
  readonly place: Place;
  /** The same, if it is at hand. */
  readonly payload: Uint8Array | undefined;
}

/** How often a task's process had been started anew, and whether it then began with a state that was saved. */
export interface Process {
  readonly job: JobId;
  readonly restarts: number;
  readonly restored: boolean;
}

/** What an execution is given: bytes that are held here, or that its caller sends when they are wanted. */
export type Args = Uint8Array | AsyncIterable<Uint8Array>;

/** One execution of a task, from its acceptance on. */
export class Execution {
  readonly id: ExecutionId;
  readonly #bell = new Bell();
  /** Until they are sent. */
  args: Args | undefined;
  #state: "queued" | "running" | "finished" | "failed" = "queued";
  #answer: Answer | undefined;
  #error: AppError | undefined;
  #process: Process | undefined;

  constructor(id: ExecutionId, args?: Args) {
    this.id = id;
    this.args = args;
  }

  get state(): "queued" | "running" | "responded" | "finished" {
    if (this.#state === "failed") return "finished";
    return this.#state === "running" && this.#answer !== undefined ? "responded" : this.#state;
  }

  get answer(): Answer | undefined {
    return this.#answer;
  }

  /** Why it has failed, if it has. */
  get error(): AppError | undefined {
    return this.#error;
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get isOver(): boolean {
    return this.#state === "finished" || this.#state === "failed";
  }

  /** It is done by this process. */
  begin(process: Process): void {
    this.#process = process;
    this.#to("running");
  }

  respond(answer: Answer): void {
    this.#answer ??= answer;
    this.#bell.ring();
  }

  /** What it has answered is not kept at hand any more. */
  shelve(): void {
    if (this.#answer !== undefined) this.#answer = { ...this.#answer, payload: undefined };
  }

  finish(): void {
    this.#to("finished");
  }

  fail(error: AppError): void {
    if (this.isOver) return;
    this.#error = error;
    this.#to("failed");
  }

  /** Resolves when it is where its caller waits for it to be. */
  async waitFor(wait: ExecutionWait, signal: AbortSignal): Promise<void> {
    while (!this.#isAt(wait)) await abortable(this.#bell.wait(), signal);
  }

  #isAt(wait: ExecutionWait): boolean {
    return this.isOver || wait === "queued" || (wait === "response" && this.#answer !== undefined);
  }

  #to(state: "running" | "finished" | "failed"): void {
    if (this.isOver) return;
    this.#state = state;
    this.#bell.ring();
  }
}
