import { formatSize } from "../../lib/size.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_WAITING_BYTES, MAX_WAITING_EXECUTIONS } from "../../protocol/limits.ts";
import type { Execution } from "./execution.ts";

/** Executions of one task that wait for their turn, in the order in which they came. */
export class Queue {
  readonly #waiting: Execution[] = [];
  #bytes = 0;

  get size(): number {
    return this.#waiting.length;
  }

  /** Bytes of arguments that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `queue_full` where there is no room for one more, with so many bytes of arguments. */
  demand(bytes: number): void {
    if (this.#waiting.length >= MAX_WAITING_EXECUTIONS)
      throw refuse(`${MAX_WAITING_EXECUTIONS} executions wait already`);
    // What is not held here takes no room; and the first is let in however large, as it goes at once.
    if (this.#waiting.length > 0 && this.#bytes + bytes > MAX_WAITING_BYTES)
      throw refuse(`the arguments of those that wait would take more than ${formatSize(MAX_WAITING_BYTES)}`);
  }

  /** Throws `queue_full`. */
  push(execution: Execution): void {
    const bytes = measure(execution);
    this.demand(bytes);
    this.#waiting.push(execution);
    this.#bytes += bytes;
  }

  shift(): Execution | undefined {
    const execution = this.#waiting.shift();
    if (execution !== undefined) this.#bytes -= measure(execution);
    return execution;
  }

  /** Takes all of them. */
  clear(): readonly Execution[] {
    this.#bytes = 0;
    return this.#waiting.splice(0);
  }
}

function measure({ args }: Execution): number {
  return args instanceof Uint8Array ? args.length : 0;
}

function refuse(why: string): AppError {
  return new AppError("queue_full", `Cannot queue the execution: ${why}; try again later`);
}
