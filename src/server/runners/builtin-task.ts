import * as v from "valibot";
import type { Builtin } from "../../commands/index.ts";
import { isPlain } from "../../protocol/cbor/plain.ts";
import { AppError } from "../../protocol/error.ts";
import { Failure, type RunnerCall } from "../../runner/call.ts";
import { encodeJson, parseJson, type RunnerRecord } from "../../runner/record.ts";
import type { Heard, RunnerTask } from "./runner.ts";

/** A foreground command, as far as a runner's answers are checked by it. */
export type RunnerCommand = Pick<
  Extract<Builtin, { kind: "foreground" }>,
  "name" | "event" | "result" | "idempotent" | "takesInput"
>;

/** A built-in command that is done in a runner. */
export interface BuiltinCall {
  readonly command: RunnerCommand;
  readonly call: RunnerCall;
  readonly input: AsyncIterable<Uint8Array>;
}

/** It breaks as `unavailable`, or `outcome_unknown` where repeating it may do harm. */
export function toBuiltinTask({ command, call, input }: BuiltinCall): RunnerTask<unknown, unknown> {
  return {
    name: command.name,
    tell: () => [encodeJson("call", call)],
    input: command.takesInput === true ? input : undefined,
    hear: (record) => hear(record, command),
    toError({ why }) {
      const { name, idempotent } = command;
      const what = `the process that did it for you failed: ${why}`;
      return idempotent
        ? new AppError("unavailable", `Cannot finish "${name}": ${what}`)
        : new AppError("outcome_unknown", `Cannot tell what came of "${name}": ${what}`);
    },
  };
}

function hear(record: RunnerRecord, command: RunnerCommand): Heard<unknown, unknown> {
  switch (record.kind) {
    case "bytes":
      return { type: "said", said: record.payload };
    case "event":
      return command.event === undefined
        ? { type: "breach", why: 'it says "event"' }
        : check(command.event, record, (said) => ({ type: "said", said }));
    case "result":
      return check(command.result, record, (result) => ({ type: "result", result }));
    case "failure":
      return hearFailure(record);
    default:
      return { type: "breach", why: `it says "${record.kind}"` };
  }
}

/** What a runner says of a call that failed. */
export function hearFailure(record: RunnerRecord): Heard<never, never> {
  const parsed = v.safeParse(Failure, findJson(record));
  if (!parsed.success || !isPlain(parsed.output)) return { type: "breach", why: "its failure is none" };
  return { type: "failure", failure: parsed.output };
}

/** What is not what the schema says is a breach. It is passed on as it was. */
function check(
  schema: v.GenericSchema,
  record: RunnerRecord,
  toHeard: (value: unknown) => Heard<unknown, unknown>,
): Heard<unknown, unknown> {
  const value = findJson(record);
  return v.is(schema, value) ? toHeard(value) : { type: "breach", why: `its ${record.kind} is none` };
}

/** Undefined, which JSON has no word for, where it is none. */
function findJson(record: RunnerRecord): unknown {
  try {
    return parseJson(record);
  } catch {
    return undefined;
  }
}
