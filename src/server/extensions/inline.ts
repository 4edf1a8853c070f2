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
import type { ModuleCall, ModuleSaid, ModuleUnit } from "../runners/module-call.ts";
import { InlineUnits } from "./inline-units.ts";

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
  readonly #units: InlineUnits;

  constructor(options: InlineOptions) {
    this.#options = options;
    this.#units = new InlineUnits({
      create: (module) => this.#create(module),
      onFailure: (error) => options.log.error("module not disposed", { error: toThrown(error).message }),
    });
  }

  /** As `Runners.runModule` does, but that nothing crashes alone, and a time limit ends only what waits. */
  async *runModule(
    call: ModuleCall,
    signal: AbortSignal,
  ): AsyncGenerator<readonly ModuleSaid[], Uint8Array | undefined, void> {
    const { command, timeoutMs, unit: module } = call;
    if (module.type !== "module") throw new Error("A program is not done in the server");
    const late = new AbortController();
    using _limit = after(timeoutMs, () => late.abort(toLate(command, timeoutMs)));
    const over = AbortSignal.any([signal, late.signal]);
    using held = await this.#units.take(module, over);
    let doing: AsyncGenerator<Said, Uint8Array, void> | undefined;
    try {
      doing = await abortable(this.#start(call, held.unit, over), over);
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
    this.#units.retain(units);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#units[Symbol.asyncDispose]();
  }

  async #start(
    { command, input, caller, workspace, bytes = NOTHING }: ModuleCall,
    unit: Unit,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Said, Uint8Array, void>> {
    const { log } = this.#options;
    const ready = await unit.find(command);
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

  #create(module: ModuleUnit): Unit {
    const { signal, log } = this.#options;
    return new Unit({
      load: () => loadModule(module),
      config: module.config,
      signal,
      log: (...words) => log.info("module", { said: words.map(String).join(" ") }),
    });
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
