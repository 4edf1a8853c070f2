import { AppError } from "../error.ts";
import { parseForeignJson } from "../json.ts";
import { MAX_PAYLOAD_BYTES, MAX_VALUE_BYTES } from "../limits.ts";
import { decodeCbor } from "./decode.ts";
import { encodeCbor } from "./encode.ts";
import { isPlain } from "./plain.ts";
import { SELF_DESCRIBED } from "./tags.ts";
import { broken } from "./reader.ts";

/**
 * A value as bytes of their own, in a record, a file or a pipe: JSON in UTF-8 if that says all of it and a record has room for
 * it, and else CBOR, so that what comes in parts is known by its beginning. Throws as `encodeCbor` does.
 */
export function encodeValue(value: unknown): Uint8Array {
  if (!isPlain(value)) return encodeCbor(value);
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return bytes.length > MAX_PAYLOAD_BYTES ? encodeCbor(value) : bytes;
}

/** Whether bytes are the beginning of CBOR, as `encodeValue` writes it. */
export function isCbor(bytes: Uint8Array): boolean {
  return SELF_DESCRIBED.every((byte, index) => bytes[index] === byte);
}

/** The value that such bytes say. Throws `protocol_error`. */
export function decodeValue(bytes: Uint8Array): unknown {
  if (bytes[0] === SELF_DESCRIBED[0]) return decodeCbor(bytes);
  if (bytes.length > MAX_VALUE_BYTES) throw broken(`takes more than ${MAX_VALUE_BYTES} bytes`);
  return parseForeignJson(
    new TextDecoder().decode(bytes),
    (what) => new AppError("protocol_error", `Cannot read a value: it ${what}`),
  );
}
