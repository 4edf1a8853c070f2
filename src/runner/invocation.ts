import * as v from "valibot";
import type { CommandContext, CommandDefinition } from "../module/define.ts";
import { AppError } from "../protocol/error.ts";
import { decodeValue, encodeValue } from "../protocol/cbor/payload.ts";

/** What a custom command says on the way: bytes, or a value as `encodeValue` writes it. */
export interface Said {
  readonly type: "bytes" | "value";
  readonly payload: Uint8Array;
}

/** Does a call of a custom command: what that says, and its result, as `encodeValue` writes it. Throws what it throws, `invalid_input`, and `threw`. */
export async function* invoke(
  command: CommandDefinition,
  input: Uint8Array,
  context: CommandContext,
): AsyncGenerator<Said, Uint8Array, void> {
  const running: unknown = command.run(parseInput(command, decodeValue(input)), context);
  if (!isGenerator(running)) return toResult(command, await running);
  let hasEnded = false;
  try {
    for (;;) {
      const { done, value } = await running.next();
      hasEnded = done === true;
      if (done) return toResult(command, value);
      yield toSaid(command, value);
    }
  } catch (error) {
    hasEnded = true;
    throw error;
  } finally {
    if (!hasEnded) await running.return?.(undefined);
  }
}

function isGenerator(running: unknown): running is AsyncIterator<unknown, unknown, void> {
  return typeof running === "object" && running !== null && "next" in running;
}

function toSaid(command: CommandDefinition, value: unknown): Said {
  if (value instanceof Uint8Array) return { type: "bytes", payload: value };
  const checked = check(command, "yields", command.event, value);
  return { type: "value", payload: encode(command, "yields", checked) };
}

/** What returns nothing, and has not said that it returns something, returns null. */
function toResult(command: CommandDefinition, value: unknown): Uint8Array {
  const hasNone = command.result === undefined;
  const checked = hasNone ? (value ?? null) : check(command, "returns", command.result, value);
  return encode(command, "returns", checked);
}

/** Throws `invalid_input` as a built-in's does. */
function parseInput({ name, input = v.object({}) }: CommandDefinition, value: unknown): unknown {
  const parsed = v.safeParse(input, value ?? {});
  if (parsed.success) return parsed.output;
  throw new AppError("invalid_input", `Cannot call "${name}": the input${describeIssue(parsed.issues[0])}`);
}

/** What is no data is the command's own fault, and not its caller's. */
function encode({ name }: CommandDefinition, verb: "yields" | "returns", value: unknown): Uint8Array {
  try {
    return encodeValue(value);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { message, details } = error;
    const why = message.replace(/^.*?: /, "");
    throw new AppError("threw", `Cannot finish "${name}": what it ${verb} cannot be sent: ${why}`, {
      details,
    });
  }
}

function check(
  { name }: CommandDefinition,
  verb: "yields" | "returns",
  schema: v.GenericSchema | undefined,
  value: unknown,
): unknown {
  const refuse = (why: string) => new AppError("threw", `Cannot finish "${name}": what it ${verb}${why}`);
  if (schema === undefined) throw refuse(" is a value, but it defines no event");
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw refuse(describeIssue(parsed.issues[0]));
}

/** The rest of a sentence. */
function describeIssue(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return `${path ? ` at "${path.slice(0, 200)}"` : ""} is not valid: ${issue.message.slice(0, 200)}`;
}
