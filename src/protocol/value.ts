import * as v from "valibot";

/** A path or an argv element: a string, or base64 of its bytes where they are no UTF-8. */
export const ByteString = v.union([v.string(), v.object({ bytes: v.pipe(v.string(), v.base64()) })]);
export type ByteString = v.InferOutput<typeof ByteString>;

/** An input or a result inside a control frame. */
export const Value = v.object({ encoding: v.literal("json"), value: v.unknown() });
export type Value = v.InferOutput<typeof Value>;

export function toValue(value: unknown): Value {
  return { encoding: "json", value };
}
