import * as v from "valibot";
import { abortable } from "../lib/abort.ts";
import { Pace } from "../lib/pace.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { toBareMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { ProcessEnd } from "../protocol/outcome.ts";
import { fromBytes, toBytes } from "../protocol/path.ts";
import { type Failure, Invocation, ModuleOrder } from "./call.ts";
import { decodeValue, encodeValue } from "../protocol/cbor/payload.ts";
import { invoke, type Said } from "./invocation.ts";
import { toLines } from "./lines.ts";
import { runProgram, type StartProgram } from "./program.ts";
import { encodeJson, encodeRecord, parseJson, type RunnerRecord, splitRecords } from "./record.ts";
import { toThrown } from "./thrown.ts";
import { isUncaught, type Uncaught } from "./uncaught.ts";
import { type Log, Unit } from "./unit.ts";
import { until } from "./until.ts";
import type { CallShare } from "./work.ts";

/** Bytes of the parts of one record. */
const MAX_PARTS_BYTES = 24 * 1024 * 1024;

/** What a call finds around it. */
export interface Around {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
}

export interface CustomOptions {
  /** Runs a module, and answers what it exports. */
  readonly load: (module: { readonly hash: string; readonly source: Uint8Array }) => Promise<unknown>;
  /** Makes these the process's. Throws for a directory that it cannot enter. */
  readonly surround: (around: Around) => void;
  readonly startProgram: StartProgram;
  readonly uncaught: Uncaught;
  readonly log: Log;
  /** Aborted when the process is to end. */
  readonly signal: AbortSignal;
}

type Say = (record: Uint8Array) => Promise<void>;

/** Does the custom commands of one module, one call after another, and those that are programs. */
export class CustomWork implements AsyncDisposable {
  readonly #options: CustomOptions;
  #unit: Unit | undefined;
  #parts: Uint8Array[] = [];
  #size = 0;
  #hasFailed = false;

  constructor(options: CustomOptions) {
    this.#options = options;
  }

  /** Whether it can do no more: its module could not be loaded, or threw where nobody caught it. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Takes a `module` record, or a `part` of that or of a call. */
  take(record: RunnerRecord): void {
    if (record.kind === "part") {
      this.#size += record.payload.length;
      if (this.#size > MAX_PARTS_BYTES) throw new AppError("protocol_error", "Cannot take so many parts");
      this.#parts.push(record.payload);
      return;
    }
    const { hash, config } = v.parse(ModuleOrder, parseJson(record));
    const source = this.#join();
    const { signal, log } = this.#options;
    this.#unit = new Unit({ load: () => this.#load({ hash, source }), config, signal, log });
  }

  /**
   * Does a call, and answers the record that says what came of it: its result, or its failure. `say`: resolves when the front has
   * taken a record, at once, since the next thing that the module does may be its last.
   */
  async answer(record: RunnerRecord, share: CallShare, say: Say): Promise<Uint8Array> {
    using uncaught = this.#options.uncaught.watch();
    try {
      const invocation = v.parse(Invocation, parseJson(record));
      const doing = this.#do(invocation, this.#join(), share, say);
      return await abortable(doing, uncaught.signal);
    } catch (error) {
      return encodeJson("failure", this.#toFailure(share.signal.aborted ? share.signal.reason : error));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unit?.[Symbol.asyncDispose]();
  }

  /** A process loads a module once: another may be luckier. */
  async #load(module: Parameters<CustomOptions["load"]>[0]): Promise<unknown> {
    try {
      return await this.#options.load(module);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  async #do(invocation: Invocation, input: Uint8Array, share: CallShare, say: Say): Promise<Uint8Array> {
    const { argv } = invocation;
    const stream =
      argv === undefined
        ? await this.#start(invocation, input, share)
        : this.#startProgram({ ...invocation, argv }, input, share);
    try {
      // Also one that never waits hears that it is to end, and nobody hears what it says then.
      for (const pace = new Pace(share.signal); ;) {
        if (pace.isDue) await pace.rest();
        const { done, value } = await stream.next();
        share.signal.throwIfAborted();
        if (done) return await conclude(value, say);
        if (!invocation.isHeard) continue;
        for (const record of toRecords(value)) await say(record);
      }
    } finally {
      await stream.return(NO_RESULT);
    }
  }

  async #start(
    invocation: Invocation,
    input: Uint8Array,
    { signal, input: bytes }: CallShare,
  ): Promise<AsyncGenerator<Said, Uint8Array, void>> {
    const { log } = this.#options;
    const { command, caller, env, takesInput } = invocation;
    if (this.#unit === undefined) throw new AppError("protocol_error", "Cannot call what was not told");
    const ready = await this.#unit.find(command);
    const cwd = this.#enter(invocation);
    const taken = until(takesInput ? bytes : NOTHING, signal);
    const context = {
      signal,
      caller,
      cwd,
      env,
      log,
      input: taken,
      lines: toLines(taken),
      config: ready.config,
      shared: ready.shared,
    };
    return invoke(ready.command, input, context);
  }

  async *#startProgram(
    invocation: Invocation & { readonly argv: readonly string[] },
    input: Uint8Array,
    { signal, input: bytes }: CallShare,
  ): AsyncGenerator<Said, Uint8Array, void> {
    const { startProgram } = this.#options;
    const { command, argv, takesInput } = invocation;
    this.#enter(invocation);
    const more = takesInput ? bytes : NOTHING;
    const end = yield* runProgram({ command, argv, input: decodeValue(input), more }, startProgram, signal);
    if (end.type === "exited" && end.code === 0) return encodeValue(null);
    throw new AppError("crashed", `Cannot finish "${command}": its program ${describeEnd(end)}`, {
      details: end.type === "exited" ? { code: end.code } : { signal: end.signal },
    });
  }

  /** Goes where the call is from, and answers where that is. Throws `os_error`. */
  #enter({ cwd: path, env, umask }: Invocation): string {
    const cwd = fromBytes(toBytes(path));
    // No process of ours can go by a name that is no text.
    if (typeof cwd !== "string") throw refuseDirectory("its name is no UTF-8", "EILSEQ");
    try {
      this.#options.surround({ cwd, env, umask });
      return cwd;
    } catch (error) {
      throw refuseDirectory(toBareMessage(error), toErrorCode(error) ?? "unknown");
    }
  }

  #toFailure(error: unknown): Failure {
    this.#hasFailed ||= isUncaught(error);
    const failure = toThrown(isUncaught(error) ? error.thrown : error);
    return this.#hasFailed ? { ...failure, isLast: true } : failure;
  }

  #join(): Uint8Array {
    const parts = Buffer.concat(this.#parts);
    [this.#parts, this.#size] = [[], 0];
    return parts;
  }
}

const NO_RESULT = new Uint8Array(0);
const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

/** The result, in parts before it if it takes more than one record. */
async function conclude(result: Uint8Array, say: Say): Promise<Uint8Array> {
  if (result.length <= MAX_PAYLOAD_BYTES) return encodeRecord("outcome", result);
  for (const part of splitRecords("part", result)) await say(part);
  return encodeRecord("outcome");
}

function* toRecords({ type, payload }: Said): Generator<Uint8Array, void, void> {
  if (type === "bytes") return yield* splitRecords("bytes", payload);
  const whole = Math.max(0, Math.ceil(payload.length / MAX_PAYLOAD_BYTES) - 1) * MAX_PAYLOAD_BYTES;
  if (whole > 0) yield* splitRecords("part", payload.subarray(0, whole));
  yield encodeRecord("value", payload.subarray(whole));
}

function refuseDirectory(why: string, os: string): AppError {
  return new AppError("os_error", `Cannot enter the workspace's directory: ${why}`, { details: { os } });
}

function describeEnd(end: ProcessEnd): string {
  return end.type === "exited" ? `exited with ${end.code}` : `was ended by ${end.signal}`;
}
