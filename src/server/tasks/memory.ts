import type { ExecutionId } from "../../protocol/task.ts";
import type { Execution } from "./execution.ts";
import { Seen } from "./seen.ts";

/** Executions of a task that are remembered when they are over; of older ones its job's record tells. */
const REMEMBERED = 128;
/** The last of these, whose answers are kept at hand, and how long one of them may be. */
const AT_HAND = 4;
const AT_HAND_BYTES = 4 * 1024;

/** The executions of one task that are under way, wait, or were over last. */
export class Memory {
  readonly #known = new Map<ExecutionId, Execution>();
  /** Those that are over, the oldest first. */
  readonly #over: Execution[] = [];
  readonly #seen: Seen;

  /** `until`: when a server before us may still have been asked for executions, in milliseconds since 1970; 0 for a new task. */
  constructor(until: number) {
    this.#seen = new Seen(until);
  }

  /** Whether an execution was asked for before, also one that is not remembered any more. */
  has(id: ExecutionId): "surely" | "perhaps" | "never" {
    return this.#seen.has(id);
  }

  find(id: ExecutionId): Execution | undefined {
    return this.#known.get(id);
  }

  add(execution: Execution): void {
    this.#known.set(execution.id, execution);
    this.#seen.add(execution.id, Date.now());
  }

  /** It is over. */
  settle(execution: Execution): void {
    this.#over.push(execution);
    this.#over.at(-AT_HAND)?.shelve();
    const last = this.#over.at(-2);
    if ((last?.answer?.payload?.length ?? 0) > AT_HAND_BYTES) last?.shelve();
    const oldest = this.#over.length > REMEMBERED ? this.#over.shift() : undefined;
    if (oldest !== undefined && this.#known.get(oldest.id) === oldest) this.#known.delete(oldest.id);
  }
}
