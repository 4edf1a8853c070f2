import * as v from "valibot";
import { MAX_PATH_BYTES } from "./limits.ts";
import { ByteString } from "./value.ts";

/** A path as callers write it: relative ones count from the workspace's directory. File names are bytes. */
export const FilePath = v.pipe(
  ByteString,
  v.check((path) => toBytes(path).length > 0, "is empty"),
  v.check((path) => toBytes(path).length <= MAX_PATH_BYTES, `has more than ${MAX_PATH_BYTES} bytes`),
  v.check((path) => !toBytes(path).includes(0), "must not contain a NUL byte"),
  v.check((path) => typeof path !== "string" || path.isWellFormed(), "must be well-formed Unicode"),
);
export type FilePath = v.InferOutput<typeof FilePath>;

/** A file's name in a result: text, which shows U+FFFD where it is no UTF-8, and then its bytes in base64 beside it. */
export const FileName = v.object({ name: v.string(), nameBytes: v.optional(v.pipe(v.string(), v.base64())) });
export type FileName = v.InferOutput<typeof FileName>;

/** The bytes that a path or a name means. */
export function toBytes(path: ByteString): Uint8Array {
  return typeof path === "string" ? Buffer.from(path) : Buffer.from(path.bytes, "base64");
}

/** Bytes as a path: a string where they are UTF-8. */
export function fromBytes(bytes: Uint8Array): ByteString {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { bytes: Buffer.from(bytes).toString("base64") };
  }
}

export function toFileName(bytes: Uint8Array): FileName {
  const path = fromBytes(bytes);
  if (typeof path === "string") return { name: path };
  return { name: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), nameBytes: path.bytes };
}
