import * as v from "valibot";
import { decodeCbor } from "./cbor/decode.ts";
import { encodeCbor } from "./cbor/encode.ts";
import { isPlain } from "./cbor/plain.ts";
import { MAX_FRAME_ITEMS } from "./limits.ts";

/** A path or an argv element: a string, or base64 of its bytes where they are no UTF-8. */
export const ByteString = v.union([v.string(), v.object({ bytes: v.pipe(v.string(), v.base64()) })]);
export type ByteString = v.InferOutput<typeof ByteString>;

/** An input or a result inside a control frame: as JSON, or base64url of CBOR where that does not say all of it. */
export const Value = v.variant("encoding", [
  v.object({ encoding: v.literal("json"), value: v.unknown() }),
  v.object({ encoding: v.literal("cbor"), value: v.string() }),
]);
export type Value = v.InferOutput<typeof Value>;

/** Throws `invalid_input` for what is no data, or too much of it. */
export function toValue(value: unknown): Value {
  if (isPlain(value)) return toJsonValue(value);
  return { encoding: "cbor", value: Buffer.from(encodeCbor(value, MAX_FRAME_ITEMS)).toString("base64url") };
}

/** Of a command whose schema has nothing in it that JSON has not: what it leaves out is nothing. */
export function toJsonValue(value: unknown): Value {
  return { encoding: "json", value };
}

/** Throws `protocol_error` for CBOR that is none. */
export function fromValue(value: Value): unknown {
  return value.encoding === "json"
    ? value.value
    : decodeCbor(Buffer.from(value.value, "base64url"), MAX_FRAME_ITEMS);
}
