import { decodeValue } from "../../protocol/cbor/payload.ts";
import { AppError } from "../../protocol/error.ts";
import { fromValue, type Value } from "../../protocol/value.ts";
import type { Invocation } from "../invoke.ts";

/** What a task answered, as it travels: in the result, or as so many bytes on the way. */
interface Answered {
  readonly value?: Value | undefined;
  readonly valueBytes?: number | undefined;
}

/**
 * Reads what a task is called for to its end: its result, with the value that was answered. Throws `incomplete_output`, and
 * `outcome_unknown` where the rest of the value is gone with a server that was restarted, so that it must be asked for.
 */
export async function readAnswer<R extends Answered>({
  output,
  result,
}: Invocation<R>): Promise<Omit<R, "value" | "valueBytes"> & { readonly value: unknown }> {
  const parts: Uint8Array[] = [];
  try {
    for await (const packet of output) {
      if (packet.type === "stdout") parts.push(packet.bytes);
      output.consumed(packet);
    }
  } catch (cause) {
    // Whatever else breaks a channel may do so each time.
    if (!(cause instanceof AppError) || cause.code !== "incomplete_output") throw cause;
    await result; // if there is none, that says why
    const message = "Cannot read what the task answered: not all of it came";
    throw new AppError("outcome_unknown", message, { cause });
  }
  const { value, valueBytes, ...report } = await result;
  return { ...report, value: valueBytes === undefined ? toInline(value) : join(parts, valueBytes) };
}

function toInline(value: Value | undefined): unknown {
  return value === undefined ? undefined : fromValue(value);
}

function join(parts: readonly Uint8Array[], length: number): unknown {
  const bytes = Buffer.concat(parts);
  if (bytes.length === length) return decodeValue(bytes);
  throw new AppError(
    "incomplete_output",
    `Cannot read what the task answered: ${bytes.length} bytes came, of ${length}`,
  );
}
