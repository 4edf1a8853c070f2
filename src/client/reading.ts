import type { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";

/** How a call ended. */
export interface Ending<O> {
  /** Undefined for a job that the server refused. */
  readonly outcome: O | undefined;
  /** What the server said instead, or what the program threw. */
  readonly error: AppError | undefined;
  /** What `raiseError` throws: that, or that the program failed. */
  readonly failure: AppError | undefined;
}

/** What the packets of a call end with when the server refused it or failed, or the program threw. */
export interface ErrorPacket {
  readonly type: "error";
  readonly error: AppError;
}

export interface KillOptions {
  /** Alone it is only sent; with `grace` it is what the job is ended by (default TERM). */
  readonly signal?: string;
  /** Milliseconds to KILL. */
  readonly grace?: number;
}

/** One call as its listener has it: what is said, and what can be done to it. */
export interface Reading<P, O extends Outcome, J extends JobId | undefined> {
  readonly id: string;
  readonly job: J;
  /** The job's short number on its server. */
  readonly number: number | undefined;
  /** What it is called in a sentence. */
  readonly name: string;
  /** Throws when it cannot be known what else was said. */
  readonly packets: AsyncGenerator<P, Ending<O>, void>;
  /** What `packets` will end with, once they have given the last one. */
  readonly ending: Ending<O> | undefined;
  /** The packet is where it should go. */
  consumed(packet: P): void;
  /** Nobody reads on: a job goes on alone, a foreground call is cancelled. */
  close(): void;
  /** Sends bytes to its stdin, and with `end` no more. Throws `input_closed`. */
  send(bytes: Uint8Array, end: boolean): Promise<void>;
  kill(options: KillOptions): Promise<Ended | undefined>;
}

/** A call that was refused before it began. */
export function refuse<P, O extends Outcome, J extends JobId | undefined>(
  named: Pick<Reading<P, O, J>, "id" | "job" | "name">,
  error: AppError,
  outcome: O | undefined,
): Reading<P, O, J> {
  const reject = () => Promise.reject(error);
  const nothing = () => {};
  return {
    ...named,
    number: undefined,
    ending: undefined,
    packets: say(),
    consumed: nothing,
    close: nothing,
    send: reject,
    kill: reject,
  };

  async function* say(): AsyncGenerator<P, Ending<O>, void> {
    return { outcome, error, failure: error };
  }
}
