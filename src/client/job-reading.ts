import { describeOutcome } from "../commands/describe.ts";
import { kill } from "../commands/kill.ts";
import { AppError, fromErrorBody } from "../protocol/error.ts";
import type { JobId, WriterId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Input } from "./input.ts";
import { invoke } from "./invoke.ts";
import type { Output } from "./output.ts";
import type { Ending, KillOptions, Reading } from "./reading.ts";
import { findOutcome, readReturned } from "./returned.ts";
import type { Session } from "./session.ts";

export interface JobReadingOptions {
  readonly job: JobId;
  readonly number: number;
  readonly output: Output;
  /** Where reading ends: at the exit, or when nobody holds the job's pipes any more. */
  readonly until: "exit" | "closed";
  /** Its stdin, if that is open already. */
  readonly input?: Input | undefined;
}

/** Reads a job. */
export class JobReading implements Reading<Packet, Outcome, JobId> {
  readonly #session: Session;
  readonly #options: JobReadingOptions;
  #input: Input | undefined;
  #ending: Ending<Outcome> | undefined;
  readonly packets: AsyncGenerator<Packet, Ending<Outcome>, void>;

  constructor(session: Session, options: JobReadingOptions) {
    this.#session = session;
    this.#options = options;
    this.#input = options.input;
    this.packets = this.#read();
  }

  get id(): string {
    return this.job;
  }

  get job(): JobId {
    return this.#options.job;
  }

  get number(): number {
    return this.#options.number;
  }

  get ending(): Ending<Outcome> | undefined {
    return this.#ending;
  }

  get name(): string {
    return `job ${this.number}`;
  }

  consumed(packet: Packet): void {
    this.#options.output.consumed(packet);
  }

  close(): void {
    this.#options.output.close();
  }

  async send(bytes: Uint8Array, end: boolean): Promise<void> {
    const input = (this.#input ??= this.#session.openInput(this.job, crypto.randomUUID() as WriterId));
    await sendOrThrow(input, bytes, this.name);
    if (!end) return;
    input.end();
    this.#input = undefined; // later input is for the server to refuse
  }

  async kill({ signal, grace }: KillOptions): Promise<Ended | undefined> {
    const asked = {
      job: this.job,
      ...(signal !== undefined && { signal }),
      ...((grace !== undefined || signal === undefined) && { grace: grace ?? DEFAULT_GRACE }),
    };
    return (await invoke(this.#session, kill, asked)).ended;
  }

  async *#read(): AsyncGenerator<Packet, Ending<Outcome>, void> {
    const { output, until, number } = this.#options;
    for await (const each of output) {
      const isLast = each.type === until || each.type === "closed"; // whose exit may have been pushed out
      const packet = isLast ? await this.#complete(each) : each;
      const outcome = isLast ? findOutcome(packet) : undefined;
      if (outcome !== undefined) {
        output.close();
        this.#ending = toEnding(outcome, this.#options);
      }
      yield packet;
      if (this.#ending !== undefined) return this.#ending;
    }
    throw new AppError("incomplete_output", `Output of job ${number} ended without its exit`);
  }

  /** With what the job returned, where reading began behind the beginning of that. */
  async #complete(packet: Packet): Promise<Packet> {
    const first = this.#options.output.unread;
    if (first === undefined) return packet;
    const value = await readReturned(this.#session, this.job, { encoding: "parts", first });
    const outcome = { type: "returned", value } as const;
    if (packet.type === "exit") return { ...packet, outcome };
    return packet.type === "closed" ? { ...packet, exit: { ...packet.exit, outcome } } : packet;
  }
}

/** Sends all of it. Throws `input_closed` when nobody takes it. */
export async function sendOrThrow(input: Input, bytes: Uint8Array, name: string): Promise<void> {
  const isTaken = bytes.length === 0 ? !input.closed.aborted : await input.write(bytes);
  if (!isTaken) throw new AppError("input_closed", `Cannot send input to ${name}: it takes no more`);
}

/** A program that ran and failed is an outcome; one that threw, or could not be started, is an error besides. */
function toEnding(
  outcome: Outcome,
  named: { readonly job: JobId; readonly number: number },
): Ending<Outcome> {
  switch (outcome.type) {
    case "returned":
      return { outcome, error: undefined, failure: undefined };
    case "threw": {
      const error = fromErrorBody(outcome.error);
      return { outcome, error, failure: error };
    }
    case "not_started": {
      const error = toFailure(outcome, outcome.reason.message, named);
      return { outcome, error, failure: error };
    }
    case "exited":
      if (outcome.code === 0) return { outcome, error: undefined, failure: undefined };
      break;
    case "signaled":
    case "timed_out":
    case "idle_timed_out":
    case "output_limited":
    case "cancelled":
    case "lost":
  }
  const message = `Job ${named.number} failed: ${describeOutcome(outcome)}`;
  return { outcome, error: undefined, failure: toFailure(outcome, message, named) };
}

function toFailure(
  outcome: Outcome,
  message: string,
  { job, number }: { readonly job: JobId; readonly number: number },
): AppError {
  return new AppError("job_failed", message, { details: { job, number, outcome } });
}
