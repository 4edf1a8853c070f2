import { abortable, after, delay } from "../../lib/abort.ts";
import { Litter } from "../../lib/litter.ts";
import { toSignalName } from "../../lib/signal.ts";
import type { Again } from "../../process/again.ts";
import type { Libc } from "../../process/libc.ts";
import { signalGroup } from "../../process/signal.ts";
import { spawnWired, TIME_SIGNAL, type Wired } from "../../process/wire.ts";
import { AppError, fromErrorBody } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { Failure } from "../../runner/call.ts";
import { encodeRecord, RecordReader, type RunnerRecord } from "../../runner/record.ts";
import { watchMemory } from "./memory.ts";
import { Printed } from "./printed.ts";

/** Milliseconds that a runner has to end once it is told to. */
const GRACE = 2_000;

/** Milliseconds between two reads of what one says that is to end. */
const PAUSE = 20;
/** Things that are said at once at most. */
const MAX_SAID = 256;

/** Bytes of garbage that a record leaves, and how often its bytes are copied on their way. */
const RECORD_LITTER = 1536;
const COPIES = 3;

/** Why a runner's answer is none: what it said, or how it ended. */
export interface Breach {
  readonly why: string;
  readonly code?: number;
  readonly signal?: string;
}

/** What a record says of a call: something on the way, what came of it, or that the runner is none to be trusted. */
export type Heard<Said, Result> =
  | { readonly type: "said"; readonly said: Said }
  | { readonly type: "result"; readonly result: Result }
  | { readonly type: "failure"; readonly failure: Failure }
  | { readonly type: "breach"; readonly why: string };

type Last<Result> = Exclude<Heard<unknown, Result>, { readonly type: "said" }>;

/** What is done in a runner: what it is told, and what its answers mean. */
export interface RunnerTask<Said, Result> {
  readonly name: string;
  /** The records that tell it. `isFirst`: whether it was told nothing before. */
  readonly tell: (isFirst: boolean) => Iterable<Uint8Array>;
  /** What comes for it then, if it takes anything. */
  readonly input: AsyncIterable<Uint8Array> | undefined;
  readonly hear: (record: RunnerRecord) => Heard<Said, Result>;
  readonly toError: (breach: Breach) => AppError;
}

export interface RunnerOptions {
  readonly libc: Libc | undefined;
  /** Runs this executable as a runner. */
  readonly again: Again;
  /** Of one that does what others have written: bytes of memory at which it is killed while it does something. */
  readonly maxMemory?: number;
  /** A child was started, which nobody else is to wait for. */
  readonly onSpawn: (pid: number, exited: Promise<unknown>) => void;
  /** Something went wrong there that nobody expected. */
  readonly onFault: (cause: string) => void;
  /** It printed a line while it did this. */
  readonly onPrinted: (name: string, line: string) => void;
}

/** A process that does one call after another. Whatever it says is taken for hostile. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #wired: Wired;
  readonly #reader: RecordReader;
  readonly #printed: Printed;
  /** Whether the last call was answered. */
  #isAnswered = true;
  #isFirst = true;
  /** The telling of what the last call is, and of what comes for it. */
  #pouring: Promise<void> = Promise.resolve();
  #ending: Promise<void> | undefined;
  #isLast = false;
  readonly #litter = new Litter();
  /** That it took too much memory, and was killed for it. */
  #excess: string | undefined;

  constructor(options: RunnerOptions) {
    const { again, libc, maxMemory, onSpawn, onPrinted } = options;
    this.#options = options;
    this.#wired = spawnWired(again, { libc, isForeign: maxMemory !== undefined });
    const { child, answers, printed } = this.#wired;
    onSpawn(child.pid, child.exited);
    // What others have written says nothing in larger pieces, and would be waited for with all that came of it.
    this.#reader = new RecordReader(
      () => answers.read(),
      maxMemory === undefined ? undefined : MAX_PAYLOAD_BYTES,
    );
    this.#printed = new Printed(printed, onPrinted);
    this.#printed.startReading();
  }

  get pid(): number {
    return this.#wired.child.pid;
  }

  /** Whether it can do another call, once it has settled. */
  get isFree(): boolean {
    const { exitCode, signalCode } = this.#wired.child;
    const hasEnded = exitCode !== null || signalCode !== null;
    return this.#isAnswered && !this.#isLast && this.#ending === undefined && !hasEnded;
  }

  /** Resolves when nothing more is told it of its last call. */
  async settled(): Promise<void> {
    await this.#pouring;
  }

  /**
   * Does a call: what that says on the way, as much at once as has come, and its result. Throws its failure, the signal's reason, and what the task says of a
   * runner that ends or says what it must not. One whose call is over before it has answered is ended.
   */
  async *run<Said, Result>(
    task: RunnerTask<Said, Result>,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Said[], Result, void> {
    this.#isAnswered = false;
    const over = new AbortController();
    // Also where nobody takes what it says, and so nobody asks here.
    const stop = () => void this.end(toSignal(signal.reason));
    signal.addEventListener("abort", stop, { once: true });
    this.#printed.begin(task.name);
    this.#watchMemory(over.signal);
    this.#pouring = this.#pour(task, over.signal);
    try {
      for (;;) {
        signal.throwIfAborted();
        await abortable(this.#arrived(task), signal);
        const said: Said[] = [];
        const last = this.#hear(task, said);
        if (said.length > 0) yield said;
        if (last !== undefined) return this.#conclude(last, task);
      }
    } finally {
      over.abort();
      signal.removeEventListener("abort", stop);
      if (!this.#isAnswered) await this.end(toSignal(signal.reason));
    }
  }

  /** Resolves when it has ended, which it is made to, and whatever it left in its process group with it. */
  end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#ending ??= this.#end(signal);
    return this.#ending;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const { child, orders, answers } = this.#wired;
    child.kill(signal);
    using _late = after(GRACE, () => child.kill("SIGKILL"));
    this.#startDraining();
    await child.exited;
    endGroup(child.pid);
    await Promise.all([answers.close(), this.#printed.close()]);
    orders.end();
  }

  /** One that waits for somebody to read does not end; one that says more and more is not to fill our memory until it does. */
  #startDraining(): void {
    const patient = new AbortController().signal;
    const drain = async () => {
      while ((await this.#wired.answers.read()) !== undefined) await delay(PAUSE, patient);
    };
    drain().catch(() => {}); // a pipe that fails says no more
  }

  /** Tells it what to do, and all that comes for that. It is told no more once it has answered. */
  async #pour<Said, Result>({ tell, input }: RunnerTask<Said, Result>, over: AbortSignal): Promise<void> {
    const { orders } = this.#wired;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    try {
      for (const records of inPieces(tell(isFirst))) await orders.write(records);
      if (input === undefined) return;
      for await (const chunk of input) {
        if (over.aborted) return;
        await orders.write(encodeRecord("input", chunk));
      }
      if (!over.aborted) await orders.write(encodeRecord("end"));
    } catch {
      // It is gone, or its caller is: whoever waits for the answer is told.
    }
  }

  #watchMemory(signal: AbortSignal): void {
    const { maxMemory } = this.#options;
    if (maxMemory === undefined) return;
    const { child } = this.#wired;
    watchMemory(child.pid, maxMemory, signal)
      .then((why) => {
        this.#excess = why;
        child.kill("SIGKILL");
      })
      .catch(() => {}); // the call is over
  }

  /** Where others have written what it does, who may flood. */
  #tidy({ payload }: RunnerRecord): void {
    if (this.#options.maxMemory !== undefined) this.#litter.leave(COPIES * payload.length + RECORD_LITTER);
  }

  /** Hears what has come, up to what is the last of a call, which is answered. */
  #hear<Said, Result>(task: RunnerTask<Said, Result>, said: Said[]): Last<Result> | undefined {
    while (said.length < MAX_SAID) {
      const heard = this.#hearOne(task);
      if (heard?.type !== "said") return heard;
      said.push(heard.said);
    }
    return undefined;
  }

  #hearOne<Said, Result>(task: RunnerTask<Said, Result>): Heard<Said, Result> | undefined {
    try {
      const record = this.#reader.take();
      if (record === undefined) return undefined;
      this.#tidy(record);
      return task.hear(record);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return { type: "breach", why: error.message };
    }
  }

  /** Resolves when something has come. Throws what the task says of a runner that has ended. */
  async #arrived<Said, Result>(task: RunnerTask<Said, Result>): Promise<void> {
    const hasEnded = await this.#reader.peek().then(
      (record) => record === undefined,
      () => false, // whoever takes it is told
    );
    if (!hasEnded) return;
    const { child } = this.#wired;
    await child.exited;
    const { exitCode, signalCode } = child;
    const code = exitCode ?? 0;
    if (signalCode === null) throw task.toError({ why: `it ended with ${code}`, code });
    // Bun gives the number of a signal that it has no name for, whatever its types say.
    const signal = typeof signalCode === "number" ? toSignalName(signalCode) : signalCode;
    throw task.toError({ why: this.#excess ?? `it was ended by ${signal}`, signal });
  }

  /** The result, or throws the failure. */
  #conclude<Said, Result>(heard: Last<Result>, task: RunnerTask<Said, Result>): Result {
    if (heard.type === "breach") throw task.toError(heard);
    this.#isAnswered = true;
    if (heard.type === "result") return heard.result;
    const { cause, isLast = false, ...body } = heard.failure;
    this.#isLast = isLast;
    if (cause !== undefined) this.#options.onFault(cause);
    throw fromErrorBody(body);
  }
}

/** Records that are told at once: the runner is woken once for them. */
function* inPieces(records: Iterable<Uint8Array>): Generator<Uint8Array, void, void> {
  let piece: Uint8Array[] = [];
  let bytes = 0;
  for (const record of records) {
    piece.push(record);
    bytes += record.length;
    if (bytes < MAX_PAYLOAD_BYTES) continue;
    yield Buffer.concat(piece);
    [piece, bytes] = [[], 0];
  }
  if (bytes > 0) yield Buffer.concat(piece);
}

/** A runner tells its module by this why it is stopped. */
function toSignal(reason: unknown): NodeJS.Signals {
  return reason instanceof AppError && reason.code === "timed_out" ? TIME_SIGNAL : "SIGTERM";
}

function endGroup(leader: number): void {
  try {
    signalGroup(leader, "SIGKILL");
  } catch {
    // What is of another user, which it started by way of a program that may, is not ours to end.
  }
}
