import type { SentArgs } from "../../commands/access/tasks.ts";
import { abortable, after } from "../../lib/abort.ts";
import { Budget } from "../../lib/budget.ts";
import { formatSize } from "../../lib/size.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_VALUE_BYTES } from "../../protocol/limits.ts";
import type { Args } from "./execution.ts";

/** Milliseconds that more of what is sent along may take, when it is wanted, and bytes of it that give one more. */
const PATIENCE = 10_000;
const LEAST_PACE = 16;
/** Bytes that are held of what is collected, of all callers together. Of something larger there is one. */
const COLLECTED_BYTES = 8 * 1024 * 1024;

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

/** Has arguments at hand that are sent along, as far as there is room for them. */
export class Collector {
  readonly #room = new Budget(COLLECTED_BYTES);

  /**
   * Answers what `use` does with all of them; others have their turns when it is done. `demand` throws where it would not take
   * so many bytes, before any are collected. Throws the signal's reason.
   */
  async collect<T>(
    args: SentArgs,
    signal: AbortSignal,
    use: (args: Uint8Array) => Promise<T>,
    demand: (bytes: number) => void = () => {},
  ): Promise<T> {
    const given = toArgs(args);
    if (given instanceof Uint8Array) return await use(given);
    const { argBytes = 0 } = args;
    using _room = await this.#room.take(argBytes, signal);
    demand(argBytes);
    return await use(await gather(given, argBytes));
  }
}

/** In one piece from the beginning: put together at the end they would take twice the room. */
async function gather(chunks: AsyncIterable<Uint8Array>, bytes: number): Promise<Uint8Array> {
  const all = new Uint8Array(bytes);
  let taken = 0;
  for await (const chunk of chunks) {
    all.set(chunk, taken);
    taken += chunk.length;
  }
  return all;
}

function toBytes(args: SentArgs["args"]): Uint8Array {
  if (args === undefined) return encodeValue(undefined);
  // What is no CBOR the task's runner refuses.
  return args.encoding === "cbor" ? Buffer.from(args.value, "base64url") : encodeValue(args.value);
}

/** Throws `timeout` when no more comes for too long, or it comes too slowly, so that others have their turn, and `invalid_input` for what is too little or too much. */
async function* awaitAll(
  input: AsyncIterable<Uint8Array>,
  expected: number,
): AsyncGenerator<Uint8Array, void, void> {
  let taken = 0;
  let patience = PATIENCE;
  const chunks = input[Symbol.asyncIterator]();
  while (taken < expected) {
    const began = performance.now();
    const { done, value } = await within(patience, chunks.next());
    if (done)
      throw new AppError(
        "invalid_input",
        `Cannot take the arguments: ${expected} bytes were announced, and ${taken} came`,
      );
    taken += value.length;
    patience = Math.min(PATIENCE, patience - (performance.now() - began) + value.length / LEAST_PACE);
    if (taken > expected)
      throw new AppError("invalid_input", `Cannot take the arguments: more than ${expected} bytes came`);
    yield value;
  }
}

async function within<T>(patience: number, promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  const error = new AppError("timeout", "nothing more of its arguments has come for long, or too slowly");
  using _limit = after(Math.max(0, patience), () => late.abort(error));
  return await abortable(promise, late.signal);
}
