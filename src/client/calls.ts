import { type ClientMessage, findExcessOf, type ServerFrame } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import { REMOVED_JOB_MEMORY } from "../protocol/limits.ts";
import type { Output } from "./output.ts";

export type Call = Extract<ClientMessage, { readonly type: "call" }>;
export type Answer = Extract<ServerFrame, { readonly type: "accepted" | "result" }>;

interface Pending {
  /** As it was sent last. */
  message: Call;
  readonly answer: PromiseWithResolvers<Answer>;
  /** Whether a server that does not know of it may be asked again. */
  readonly isRepeatable: boolean;
  /** Wall clock, in milliseconds. */
  readonly askedAt: number;
  /** What its job writes, if this reader waits for that, or what the call itself says on the way. */
  readonly output: Output | undefined;
}

/** The calls of a session that are not answered yet. */
export class Calls {
  readonly #send: (message: ClientMessage) => void;
  readonly #pending = new Map<number, Pending>();
  #last = 0;

  constructor(send: (message: ClientMessage) => void) {
    this.#send = send;
  }

  /** The number of the next call. */
  get next(): number {
    return this.#last + 1;
  }

  /** Throws `invalid_input` for a call that no frame has room for. The answer must be awaited: it may reject. */
  ask(
    asked: Omit<Call, "type" | "call">,
    isRepeatable: boolean,
    output?: Output,
  ): { readonly call: number; readonly answer: Promise<Answer> } {
    const call = this.next;
    const message: Call = { type: "call", call, ...asked };
    const excess = findExcessOf(message);
    if (excess !== undefined)
      throw new AppError("invalid_input", `Cannot call "${asked.command}": the call ${excess}`);
    this.#last = call;
    const answer = Promise.withResolvers<Answer>();
    this.#pending.set(call, { message, answer, isRepeatable, askedAt: Date.now(), output });
    this.#send(message);
    return { call, answer: answer.promise };
  }

  /** What is read of jobs, or of foreground calls too, that are not answered yet. */
  outputs(of: "jobs" | "all"): ReadonlySet<Output> {
    return new Set(
      [...this.#pending.values()].flatMap(({ output, message }) =>
        output?.isOpen === true && (of === "all" || message.job !== undefined) ? [output] : [],
      ),
    );
  }

  /** Takes an answer, and gives the output of its job; undefined for a call that nobody waits for any more. */
  settle(answer: Answer): Output | undefined {
    const pending = this.#take(answer.call);
    pending?.answer.resolve(answer);
    return pending?.output;
  }

  /** Gives what was to be read of it. */
  fail(call: number, error: unknown): Output | undefined {
    const pending = this.#take(call);
    pending?.answer.reject(error);
    return pending?.output;
  }

  failAll(error: AppError): void {
    for (const call of [...this.#pending.keys()]) this.fail(call, error);
  }

  /**
   * Asks a server that knows of none of them: what was never sent, what may be repeated, and jobs, which their ids keep
   * from being started twice; not after a reboot, which may have lost a job's ledger. The others fail as `outcome_unknown`.
   */
  repeat(unsent: ReadonlySet<ClientMessage>, isRebooted: boolean): void {
    for (const [call, pending] of [...this.#pending]) {
      const { message, isRepeatable, askedAt, output } = pending;
      const isForgotten = Date.now() - askedAt > REMOVED_JOB_MEMORY;
      const isLostJob = message.job !== undefined && (isRebooted || isForgotten);
      // What a foreground call has said cannot be taken back, and might be something else the next time.
      const hasSaid = message.job === undefined && output?.hasBegun === true;
      if (!unsent.has(message) && (!isRepeatable || isLostJob || hasSaid)) {
        const error = toUnknown(message);
        if (message.job === undefined) output?.failed(error);
        this.fail(call, error);
        continue;
      }
      pending.message = withOutput(message, output);
      this.#send(pending.message);
      if (pending.message.output !== undefined) output?.repeatDiscards();
    }
  }

  /** Undefined for a call that was answered or given up; an answer to one that was never asked means that the other side errs. */
  #take(call: number): Pending | undefined {
    if (call > this.#last) {
      throw new AppError("protocol_error", `Cannot accept an answer: call ${call} was never asked`);
    }
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    return pending;
  }
}

/**
 * The call with the channel that its job's output has now; without one, if nobody reads that any more, or some of it has
 * come: it is then read on from there.
 */
function withOutput({ output: first, events, ...message }: Call, output: Output | undefined): Call {
  if (events !== undefined)
    return output?.isOpen === true
      ? { ...message, events: { channel: output.channel, limit: output.takeFirstLimit() } }
      : message;
  if (first === undefined || output?.isOpen !== true || output.isLost) return message;
  const { channel } = output;
  return { ...message, output: { ...first, channel, limit: output.takeFirstLimit() } };
}

function toUnknown({ command, job }: Call): AppError {
  const which = job === undefined ? `"${command}"` : `"${command}" for job ${job}`;
  return new AppError(
    "outcome_unknown",
    `Cannot tell what became of the call ${which}: the server was restarted before it answered`,
    job === undefined ? {} : { details: { job } },
  );
}
