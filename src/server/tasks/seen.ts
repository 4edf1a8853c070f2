import type { ExecutionId } from "../../protocol/task.ts";

/** Executions of one generation; that before it is known too. */
const GENERATION = 8_192;

/**
 * Which executions a task was asked for. Clients name them by UUIDs that tell when they were made: from those that are older
 * than what is known here, `perhaps`.
 */
export class Seen {
  #young = new Set<number>();
  #old: ReadonlySet<number> = new Set();
  /** When the young ones began, and until when any may have been asked for that is not known here, in milliseconds since 1970. */
  #since: number;
  #until: number;

  /** `until`: the last moment at which the task may have been asked for something before this; 0 for a new one. */
  constructor(until: number) {
    this.#since = until;
    this.#until = until;
  }

  add(id: ExecutionId, now: number): void {
    if (this.#young.size >= GENERATION) {
      if (this.#old.size > 0) this.#until = this.#since;
      this.#since = now;
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(toNumber(id));
  }

  has(id: ExecutionId): "surely" | "perhaps" | "never" {
    const number = toNumber(id);
    if (this.#young.has(number) || this.#old.has(number)) return "surely";
    return this.#until > 0 && madeAt(id) <= this.#until ? "perhaps" : "never";
  }
}

/** The last twelve digits, which are random: the whole would take several times the memory. */
function toNumber(id: ExecutionId): number {
  return Number.parseInt(id.slice(-12), 16);
}

/** 0 for one that does not tell it. */
function madeAt(id: ExecutionId): number {
  return id[14] === "7" ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : 0;
}
