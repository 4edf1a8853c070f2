import { closeSync } from "node:fs";
import * as v from "valibot";
import { abortable, after } from "../../lib/abort.ts";
import type { Libc } from "../../process/libc.ts";
import { type InputPipe, openInput, openOutput, type OutputPipe } from "../../process/pipe.ts";
import { AppError, fromErrorBody } from "../../protocol/error.ts";
import { Failure, type RunnerCall } from "../../runner/call.ts";
import { encodeJson, encodeRecord, parseJson, RecordReader, type RunnerRecord } from "../../runner/record.ts";
import type { Builtin } from "../../commands/index.ts";

/** Milliseconds that a runner has to end once it is told to. */
const GRACE = 2_000;

/** A foreground command, as far as a runner's answers are checked by it. */
export type RunnerCommand = Pick<
  Extract<Builtin, { kind: "foreground" }>,
  "name" | "event" | "result" | "idempotent" | "takesInput"
>;

/** What is done in a runner. */
export interface RunnerTask {
  readonly command: RunnerCommand;
  readonly call: RunnerCall;
  readonly input: AsyncIterable<Uint8Array>;
}

export interface RunnerOptions {
  readonly libc: Libc;
  /** The argv that runs this executable as a runner of somebody. */
  readonly argv: readonly string[];
  readonly argv0: string;
  /** A child was started, which nobody else is to wait for. */
  readonly onSpawn: (pid: number, exited: Promise<unknown>) => void;
  /** Something went wrong there that nobody expected. */
  readonly onFault: (cause: string) => void;
}

/** A process of another user that does one call after another. Whatever it says is taken for hostile. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #child: Bun.Subprocess;
  readonly #input: InputPipe;
  readonly #output: OutputPipe;
  readonly #reader: RecordReader;
  /** Whether the last call was answered. */
  #isAnswered = true;
  /** The telling of what the last call is, and of what comes for it. */
  #pouring: Promise<void> = Promise.resolve();
  #isLeaving = false;

  constructor(options: RunnerOptions) {
    const { libc, argv, argv0, onSpawn } = options;
    this.#options = options;
    const [orders, ourOrders] = libc.pipe();
    const [ourAnswers, answers] = libc.pipe();
    try {
      this.#child = Bun.spawn([...argv], {
        argv0,
        cwd: "/",
        env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
        stdio: [orders, answers, "ignore"],
        detached: true,
      });
    } catch (error) {
      for (const fd of [ourOrders, ourAnswers]) closeSync(fd);
      throw error;
    } finally {
      for (const fd of [orders, answers]) closeSync(fd);
    }
    onSpawn(this.#child.pid, this.#child.exited);
    libc.prepareReading(ourAnswers);
    this.#input = openInput(ourOrders);
    this.#output = openOutput(Bun.file(ourAnswers).stream(), { number: ourAnswers, pending: libc.pending });
    this.#reader = new RecordReader(() => this.#output.read());
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Whether it can do another call, once it has settled. */
  get isFree(): boolean {
    const { exitCode, signalCode } = this.#child;
    return this.#isAnswered && !this.#isLeaving && exitCode === null && signalCode === null;
  }

  /** Resolves when nothing more is told it of its last call. */
  async settled(): Promise<void> {
    await this.#pouring;
  }

  /**
   * Does a call: what that says on the way, and its result. Throws its failure, the signal's reason, and `unavailable`, or
   * `outcome_unknown` where repeating it may do harm, for a runner that ends or says what it must not.
   */
  async *run(
    { command, call, input }: RunnerTask,
    signal: AbortSignal,
  ): AsyncGenerator<unknown, unknown, void> {
    this.#isAnswered = false;
    const over = new AbortController();
    this.#pouring = this.#pour(call, command.takesInput === true ? input : undefined, over.signal);
    try {
      for (;;) {
        signal.throwIfAborted();
        const record = await abortable(this.#next(command), signal);
        if (record.kind === "result" || record.kind === "failure") return this.#conclude(record, command);
        if (record.kind === "bytes") yield record.payload;
        else if (record.kind === "event" && command.event !== undefined)
          yield check(command.event, record, command);
        else throw broken(command, `it says "${record.kind}"`);
      }
    } finally {
      over.abort();
      if (!this.#isAnswered) await this.end();
    }
  }

  /** Resolves when it has ended, which it is made to. */
  async end(): Promise<void> {
    this.#isLeaving = true;
    this.#child.kill("SIGTERM");
    using _late = after(GRACE, () => this.#child.kill("SIGKILL"));
    this.#startDraining();
    await this.#child.exited;
    await this.#output.close();
    this.#input.end();
  }

  /** One that waits for somebody to read does not end. */
  #startDraining(): void {
    const drain = async () => {
      while ((await this.#reader.next()) !== undefined);
    };
    drain().catch(() => {}); // it says nothing that is understood, and ends all the same
  }

  /** Tells it what to do, and all that comes for that. It is told no more once it has answered. */
  async #pour(
    call: RunnerCall,
    input: AsyncIterable<Uint8Array> | undefined,
    over: AbortSignal,
  ): Promise<void> {
    try {
      await this.#input.write(encodeJson("call", call));
      if (input === undefined) return;
      for await (const chunk of input) {
        if (over.aborted) return;
        await this.#input.write(encodeRecord("input", chunk));
      }
      if (!over.aborted) await this.#input.write(encodeRecord("end"));
    } catch {
      // It is gone, or its caller is: whoever waits for the answer is told.
    }
  }

  async #next(command: RunnerCommand): Promise<RunnerRecord> {
    const record = await this.#reader.next().catch((error: unknown) => {
      throw broken(command, error instanceof Error ? error.message : "what it says is not understood");
    });
    if (record !== undefined) return record;
    await this.#child.exited;
    const { exitCode, signalCode } = this.#child;
    throw broken(
      command,
      signalCode === null ? `it ended with ${exitCode}` : `it was ended by ${signalCode}`,
    );
  }

  /** The result, or throws the failure. */
  #conclude(record: RunnerRecord, command: RunnerCommand): unknown {
    if (record.kind === "result") {
      const result = check(command.result, record, command);
      this.#isAnswered = true;
      return result;
    }
    const { cause, ...body } = v.parse(Failure, check(Failure, record, command));
    this.#isAnswered = true;
    if (cause !== undefined) this.#options.onFault(cause);
    throw fromErrorBody(body);
  }
}

/** Throws unless it is what the schema says. It is passed on as it was. */
function check(schema: v.GenericSchema, record: RunnerRecord, command: RunnerCommand): unknown {
  const value = findJson(record);
  if (v.is(schema, value)) return value;
  throw broken(command, `its ${record.kind} is none`);
}

/** Undefined, which JSON has no word for, where it is none. */
function findJson(record: RunnerRecord): unknown {
  try {
    return parseJson(record);
  } catch {
    return undefined;
  }
}

function broken({ name, idempotent }: RunnerCommand, why: string): AppError {
  const what = `the process that did it for you failed: ${why}`;
  return idempotent
    ? new AppError("unavailable", `Cannot finish "${name}": ${what}`)
    : new AppError("outcome_unknown", `Cannot tell what came of "${name}": ${what}`);
}
