import * as v from "valibot";
import type { ForegroundCommand, StreamCommand } from "../commands/define.ts";
import { AppError } from "../protocol/error.ts";
import type { Packet } from "../protocol/packet.ts";
import { toValue } from "../protocol/value.ts";
import { feed, type Source } from "./feed.ts";
import type { Output } from "./output.ts";
import type { OpenCall, Session } from "./session.ts";

export interface InvokeOptions {
  readonly signal?: AbortSignal | undefined;
  /** The bytes that the command takes besides its input (default: none). */
  readonly source?: Source | undefined;
}

/** A foreground command under way that says something. */
export interface Invocation<Result> {
  /** What it says, in packets of values and bytes; each must be reported `consumed`. */
  readonly output: Output;
  /** Settles when it is over, whether or not all that it said is read by then. */
  readonly result: Promise<Result>;
}

/** What is to be known of a foreground command to call it. */
type Plain<S extends v.GenericSchema, R extends v.GenericSchema> = Omit<
  ForegroundCommand<S, R>,
  "run" | "permission" | "cli"
> &
  Customary;
type Streaming<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema> = Omit<
  StreamCommand<S, E, R>,
  "run" | "permission" | "cli"
> &
  Customary;

interface Customary {
  /** Whether it is somebody's own, whose input may be what JSON has not. */
  readonly isCustom?: boolean;
}

/** Calls a foreground command and checks what comes back. Throws as the command fails, or the signal's reason. */
export async function invoke<S extends v.GenericSchema, R extends v.GenericSchema>(
  session: Session,
  command: Plain<S, R>,
  input: v.InferInput<S>,
  signal?: AbortSignal,
  source?: Source,
): Promise<v.InferOutput<R>> {
  const call = open(session, command, input, { signal, source, says: false });
  return toResult(command, await call.answer);
}

/** Calls a foreground command that says something on the way. */
export function invokeStream<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema>(
  session: Session,
  command: Streaming<S, E, R>,
  input: v.InferInput<S>,
  options: InvokeOptions = {},
): Invocation<v.InferOutput<R>> {
  const { output, answer } = open(session, command, input, { ...options, says: true });
  if (output === undefined) throw new AppError("internal", `Nothing is read of "${command.name}"`);
  const result = answer.then((value) => toResult(command, value));
  result.catch(() => {}); // whoever asks for it is told
  return { output, result };
}

/** An event of a command, as its packet carries it. Throws `protocol_error`. */
export function toEvent<E extends v.GenericSchema>(
  { name, event }: { readonly name: string; readonly event: E },
  { value }: Extract<Packet, { type: "value" }>,
): v.InferOutput<E> {
  return check(event, value, `an event of "${name}"`);
}

type Known = Pick<
  Plain<v.GenericSchema, v.GenericSchema>,
  "name" | "idempotent" | "takesInput" | "result" | "isCustom"
>;

function open(
  session: Session,
  { name, idempotent, takesInput = false, isCustom = false }: Known,
  input: unknown,
  { signal, source, says }: InvokeOptions & { readonly says: boolean },
): OpenCall {
  const how = { says, ...(isCustom && { encode: toValue }) };
  if (!takesInput) return session.open(name, input, { ...how, signal, isIdempotent: idempotent });
  // A source that fails must not pass for one that ended; and what one gave cannot be asked for again.
  const failed = new AbortController();
  const either = AbortSignal.any([failed.signal, ...(signal === undefined ? [] : [signal])]);
  const call = session.open(name, input, { ...how, signal: either, isIdempotent: false, takes: true });
  if (call.input !== undefined) feed(call.input, source ?? "").catch((error) => failed.abort(error));
  return call;
}

/** The result of a command, as its answer carries it. Throws `protocol_error`. */
export function toResult<R extends v.GenericSchema>(
  { name, result }: { readonly name: string; readonly result: R },
  value: unknown,
): v.InferOutput<R> {
  return check(result, value, `the result of "${name}"`);
}

function check<T extends v.GenericSchema>(schema: T, value: unknown, what: string): v.InferOutput<T> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const where = v.getDotPath(issue) ?? ".";
  throw new AppError(
    "protocol_error",
    `Cannot accept ${what}: it is not valid at "${where}": ${issue.message}`,
  );
}
