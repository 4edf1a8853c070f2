import { abortable, after } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import { formatDuration } from "../../lib/duration.ts";
import { loadModule } from "../../module/load.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import { AppError, fromErrorBody } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import { toBytes } from "../../protocol/path.ts";
import { invoke, type Said } from "../../runner/invocation.ts";
import { toLines } from "../../runner/lines.ts";
import { toThrown } from "../../runner/thrown.ts";
import { Unit } from "../../runner/unit.ts";
import { type ModuleCall, type ModuleSaid, type ModuleUnit, toMark } from "../runners/module-call.ts";

export interface InlineOptions {
  readonly log: Log;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/**
 * Does calls of modules in this very process, for operators who ask for that: what such a module does to a process it does to the
 * server, one that loops stops it, and none is ever unloaded. Neither directory nor variables of the process are its caller's.
 */
export class Inline implements AsyncDisposable {
  readonly #options: InlineOptions;
  /** What is loaded, by its hash and configuration. */
  readonly #units = new Map<string, Unit>();

  constructor(options: InlineOptions) {
    this.#options = options;
  }

  /** As `Runners.runModule` does, but that nothing crashes alone, and a time limit ends only what waits. */
  async *runModule(
    call: ModuleCall,
    signal: AbortSignal,
  ): AsyncGenerator<readonly ModuleSaid[], Uint8Array | undefined, void> {
    const { command, timeoutMs } = call;
    const late = new AbortController();
    using _limit = after(timeoutMs, () => late.abort(toLate(command, timeoutMs)));
    const over = AbortSignal.any([signal, late.signal]);
    let doing: AsyncGenerator<Said, Uint8Array, void> | undefined;
    try {
      doing = await abortable(this.#start(call, over), over);
      for (;;) {
        const { done, value } = await abortable(doing.next(), over);
        if (!done) yield [...toPieces(value)];
        else if (value.length <= MAX_PAYLOAD_BYTES) return value;
        else return void (yield [...toParts(value)]);
      }
    } catch (error) {
      over.throwIfAborted();
      throw fromErrorBody(toThrown(error));
    } finally {
      doing?.return(new Uint8Array(0)).catch(() => {}); // what it still does when it is over nobody hears
    }
  }

  /** Modules that are none of these are not called any more. */
  retain(units: readonly ModuleUnit[]): void {
    const marks = new Set(units.map(toMark));
    for (const [mark, unit] of this.#units) {
      if (marks.has(mark)) continue;
      this.#units.delete(mark);
      this.#startDisposing(unit);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#units.values()].map((unit) => unit[Symbol.asyncDispose]()));
  }

  async #start(
    { unit, command, input, caller, workspace, bytes = NOTHING }: ModuleCall,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Said, Uint8Array, void>> {
    if (unit.type !== "module") throw new Error("A program is not done in the server");
    const { log } = this.#options;
    const ready = await this.#find(unit).find(command);
    return invoke(ready.command, encodeValue(input), {
      signal,
      caller,
      cwd: Buffer.from(toBytes(workspace.cwd)).toString(),
      env: workspace.environment,
      log: (...words) => log.info("command", { command, said: words.map(String).join(" ") }),
      input: bytes,
      lines: toLines(bytes),
      config: ready.config,
      shared: ready.shared,
    });
  }

  #find(module: ModuleUnit): Unit {
    const { signal, log } = this.#options;
    const mark = toMark(module);
    const unit =
      this.#units.get(mark) ??
      new Unit({
        load: () => loadModule(module),
        config: module.config,
        signal,
        log: (...words) => log.info("module", { said: words.map(String).join(" ") }),
      });
    this.#units.set(mark, unit);
    return unit;
  }

  #startDisposing(unit: Unit): void {
    unit[Symbol.asyncDispose]().catch((error: unknown) =>
      this.#options.log.error("module not disposed", { error: toThrown(error).message }),
    );
  }
}

const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

function* toPieces({ type, payload }: Said): Generator<ModuleSaid, void, void> {
  if (type === "bytes") return yield* toParts(payload, type);
  const whole = Math.max(0, Math.ceil(payload.length / MAX_PAYLOAD_BYTES) - 1) * MAX_PAYLOAD_BYTES;
  yield* toParts(payload.subarray(0, whole));
  yield { type, payload: payload.subarray(whole) };
}

function* toParts(bytes: Uint8Array, type: "part" | "bytes" = "part"): Generator<ModuleSaid, void, void> {
  for (let start = 0; start < bytes.length; start += MAX_PAYLOAD_BYTES)
    yield { type, payload: bytes.subarray(start, start + MAX_PAYLOAD_BYTES) };
}

function toLate(command: string, limit: number): AppError {
  const why = `it took longer than ${formatDuration(limit)}`;
  return new AppError("timed_out", `Cannot finish "${command}": ${why}`, { details: { limit } });
}
