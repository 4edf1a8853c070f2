import { encodeValue } from "../../protocol/cbor/payload.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { Invocation, ModuleOrder } from "../../runner/call.ts";
import { encodeJson, type RunnerRecord, splitRecords } from "../../runner/record.ts";
import { hearFailure } from "./builtin-task.ts";
import type { ModuleCall, ModuleSaid } from "./module-call.ts";
import type { Breach, Heard, RunnerTask } from "./runner.ts";

/** A custom command that is done in a runner. What it says is passed on as it is. Throws `invalid_input` for an input that no value is. */
export function toModuleTask(
  call: ModuleCall,
  umask: number,
): RunnerTask<ModuleSaid, Uint8Array | undefined> {
  const { command, bytes } = call;
  const input = encodeValue(call.input);
  return {
    name: command,
    tell: (isFirst) => tell({ ...call, input }, umask, isFirst),
    input: bytes,
    hear: (record) => hear(record, call.isHeard),
    toError: (breach) => toCrash(command, breach),
  };
}

function* tell(
  { unit, command, caller, workspace, isHeard, bytes, input }: ModuleCall & { readonly input: Uint8Array },
  umask: number,
  isFirst: boolean,
): Generator<Uint8Array, void, void> {
  if (isFirst && unit.type === "module") {
    const { hash, config } = unit;
    yield* splitRecords("part", unit.source);
    yield encodeJson("module", { hash, config } satisfies ModuleOrder);
  }
  yield* splitRecords("part", input);
  const invocation: Invocation = {
    command,
    caller,
    cwd: workspace.cwd,
    env: workspace.environment,
    umask,
    takesInput: bytes !== undefined,
    isHeard,
    ...(unit.type === "program" && { argv: [...unit.argv] }),
  };
  yield encodeJson("invoke", invocation);
}

function hear(record: RunnerRecord, isHeard: boolean): Heard<ModuleSaid, Uint8Array | undefined> {
  const { kind, payload } = record;
  if (kind === "failure") return hearFailure(record);
  if (payload.length > MAX_PAYLOAD_BYTES) return { type: "breach", why: "it says too much at once" };
  // Of a result there may be parts all the same.
  if (!isHeard && (kind === "bytes" || kind === "value"))
    return { type: "breach", why: "it says what nobody asked for" };
  switch (kind) {
    case "bytes":
    case "part":
    case "value":
      return { type: "said", said: { type: kind, payload } };
    case "outcome":
      return { type: "result", result: payload.length === 0 ? undefined : payload };
    default:
      return { type: "breach", why: `it says "${kind}"` };
  }
}

function toCrash(command: string, { why, code, signal }: Breach): AppError {
  return new AppError("crashed", `Cannot finish "${command}": the process that did it failed: ${why}`, {
    details: { ...(code !== undefined && { code }), ...(signal !== undefined && { signal }) },
  });
}
