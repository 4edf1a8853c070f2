import type { SentArgs } from "../../commands/access/tasks.ts";
import { abortable, after } from "../../lib/abort.ts";
import { formatSize } from "../../lib/size.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_VALUE_BYTES } from "../../protocol/limits.ts";
import type { Args } from "./execution.ts";

/** Milliseconds in which more of what is sent along must come, when it is wanted. */
const PATIENCE = 10_000;

/** What a function of a task is given: bytes, or what its caller sends when it is wanted. Throws `invalid_input`. */
export function toArgs({ args, argBytes, input }: SentArgs): Args {
  if (args !== undefined && argBytes !== undefined)
    throw new AppError(
      "invalid_input",
      "Cannot use both args and argBytes: what is given is in the call, or sent along",
    );
  if (argBytes === undefined) return toBytes(args);
  if (argBytes > MAX_VALUE_BYTES)
    throw new AppError("invalid_input", `Cannot take arguments of more than ${formatSize(MAX_VALUE_BYTES)}`);
  return awaitAll(input, argBytes);
}

/** All of it, at hand. */
export async function collect(args: Args): Promise<Uint8Array> {
  return args instanceof Uint8Array ? args : Buffer.concat(await Array.fromAsync(args));
}

function toBytes(args: SentArgs["args"]): Uint8Array {
  if (args === undefined) return encodeValue(undefined);
  // What is no CBOR the task's runner refuses.
  return args.encoding === "cbor" ? Buffer.from(args.value, "base64url") : encodeValue(args.value);
}

/** Throws `timeout` when no more comes for too long, so that others have their turn, and `invalid_input` for what is too little or too much. */
async function* awaitAll(
  input: AsyncIterable<Uint8Array>,
  expected: number,
): AsyncGenerator<Uint8Array, void, void> {
  let taken = 0;
  const chunks = input[Symbol.asyncIterator]();
  while (taken < expected) {
    const { done, value } = await within(chunks.next());
    if (done)
      throw new AppError(
        "invalid_input",
        `Cannot take the arguments: ${expected} bytes were announced, and ${taken} came`,
      );
    taken += value.length;
    if (taken > expected)
      throw new AppError("invalid_input", `Cannot take the arguments: more than ${expected} bytes came`);
    yield value;
  }
}

async function within<T>(promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  const error = new AppError("timeout", `nothing more of its arguments has come for ${PATIENCE / 1_000} s`);
  using _limit = after(PATIENCE, () => late.abort(error));
  return await abortable(promise, late.signal);
}
