import { readFileSync } from "node:fs";
import { constants } from "node:os";

export const INTERRUPTS = ["INT", "TERM", "HUP"] as const;
export type Interrupt = (typeof INTERRUPTS)[number];

/** Signals to this process, on their way to whoever deals with them now. */
export class Interrupts {
  /** The last route counts; owned by whoever holds its disposable. */
  readonly #routes: ((interrupt: Interrupt) => void)[] = [];

  raise(interrupt: Interrupt): void {
    this.#routes.at(-1)?.(interrupt);
  }

  /** Sends signals here until disposed. */
  route(take: (interrupt: Interrupt) => void): Disposable {
    this.#routes.push(take);
    return {
      [Symbol.dispose]: () => {
        const index = this.#routes.lastIndexOf(take);
        if (index >= 0) this.#routes.splice(index, 1);
      },
    };
  }
}

/** Signals that our starter told us to ignore (nohup, a script's background job): they stay ignored. */
export function findIgnored(): readonly Interrupt[] {
  try {
    const [, mask = "0"] = /^SigIgn:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    const bits = BigInt(`0x${mask}`);
    return INTERRUPTS.filter((name) => (bits >> BigInt(constants.signals[`SIG${name}`] - 1)) & 1n);
  } catch {
    return []; // no /proc: it cannot be told
  }
}
