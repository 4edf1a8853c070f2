import { AppError } from "../error.ts";
import { parseForeignJson } from "../json.ts";
import { MAX_VALUE_BYTES } from "../limits.ts";
import { decodeCbor } from "./decode.ts";
import { encodeCbor } from "./encode.ts";
import { isPlain } from "./plain.ts";
import { SELF_DESCRIBED } from "./tags.ts";
import { refused } from "./visit.ts";
import { broken } from "./reader.ts";

/**
 * A value as bytes of their own, in a record, a file or a pipe: JSON in UTF-8 if that says all of it, and else CBOR. Throws as
 * `encodeCbor` does.
 */
export function encodeValue(value: unknown): Uint8Array {
  if (!isPlain(value)) return encodeCbor(value);
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  if (bytes.length > MAX_VALUE_BYTES) throw refused(`takes more than ${MAX_VALUE_BYTES} bytes`);
  return bytes;
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
