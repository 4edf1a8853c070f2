import { encodeValue } from "../../protocol/cbor/payload.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { TaskArgs } from "../../protocol/task.ts";
import { toValue } from "../../protocol/value.ts";

/** Bytes of a value that travels in the call itself: CBOR takes a third more there. */
const MAX_INLINE_BYTES = (MAX_PAYLOAD_BYTES / 4) * 3;

/** What a task is given, as it travels: in the call, or beside it where that has no room for it. */
export interface SentArgs {
  readonly args: TaskArgs;
  readonly source: Uint8Array | undefined;
}

/** `value`: any data; undefined is none. Throws `invalid_input` for what is no data, or too much of it. */
export function toSentArgs(value: unknown): SentArgs {
  if (value === undefined) return { args: {}, source: undefined };
  const bytes = encodeValue(value);
  return bytes.length > MAX_INLINE_BYTES
    ? { args: { argBytes: bytes.length }, source: bytes }
    : { args: { args: toValue(value) }, source: undefined };
}
