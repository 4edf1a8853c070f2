import { after } from "../../lib/abort.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import type { Execution } from "./execution.ts";

/** Milliseconds until a task is asked first, twice as long each time, and at most. */
const FIRST = 5_000;
const CAP = 60_000;

/**
 * Asks a task's process now and then whether it still does what it was told to do. A module may write where the process tells
 * that, so that an end which was told is not heard; and one that is not listened to any more notices it when it answers.
 */
export class Probe implements Disposable {
  readonly #ask: (mark: ExecutionId) => void;
  #timer: Disposable | undefined;
  #asked: { readonly mark: ExecutionId; readonly execution: Execution } | undefined;

  constructor(ask: (mark: ExecutionId) => void) {
    this.#ask = ask;
  }

  /** All of it was sent. */
  begin(execution: Execution): void {
    if (!execution.isOver) this.#wait(execution, FIRST);
  }

  /** The execution about which this mark has asked. */
  find(mark: ExecutionId | undefined): Execution | undefined {
    return this.#asked?.mark === mark ? this.#asked?.execution : undefined;
  }

  /** There is nothing more to ask. */
  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#asked = undefined;
  }

  #wait(execution: Execution, ms: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = after(ms, () => {
      const mark = crypto.randomUUID() as ExecutionId;
      this.#asked = { mark, execution };
      this.#ask(mark);
      this.#wait(execution, Math.min(2 * ms, CAP));
    });
  }
}
