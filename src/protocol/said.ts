import * as v from "valibot";
import { isPlain } from "./cbor/plain.ts";
import { AppError, ErrorBody } from "./error.ts";
import { Cutter, encodeHeader, type Framing, FRAMING_BYTES } from "./framing.ts";
import { parseForeignJson } from "./json.ts";
import { MAX_PAYLOAD_BYTES } from "./limits.ts";
import { Value } from "./value.ts";

/**
 * What a runner that is a job tells its keeper on descriptor 3, big-endian: length of the payload u32 · kind u8 · payload of at
 * most 64 KiB. `value` and `part` become packets of the job's ledger as they are, `part` being the beginning of a value that
 * takes more than one, which a `value` ends. `end` is how it ends, as JSON, and the last that counts.
 */
export const SAID_FD = 3;
/** Bytes of an `end`: an exit's record has room for it, and for what else that tells. */
export const MAX_END_BYTES: number = MAX_PAYLOAD_BYTES - 1024;
const KINDS = ["value", "part", "end"] as const;
export type SaidKind = (typeof KINDS)[number];

export interface Said {
  readonly kind: SaidKind;
  readonly payload: Uint8Array;
}

/**
 * How a runner says that it ends. A value that is too large for the record of an exit is `parts`: those that were said since the
 * last value hold it.
 */
export const SaidEnd = v.variant("type", [
  v.object({
    type: v.literal("returned"),
    value: v.union([v.object({ encoding: v.literal("parts") }), Value]),
  }),
  v.object({ type: v.literal("threw"), error: ErrorBody }),
]);
export type SaidEnd = v.InferOutput<typeof SaidEnd>;

/** What an `end` says, of which every answer that tells it has room. Throws `protocol_error`. */
export function parseEnd(payload: Uint8Array): SaidEnd {
  const broken = (why: string) =>
    new AppError("protocol_error", `Cannot read how a runner ends: what it says ${why}`);
  const parsed = v.safeParse(SaidEnd, parseForeignJson(new TextDecoder().decode(payload), broken));
  if (!parsed.success) throw broken(`is not valid (${parsed.issues[0].message})`);
  if (!isPlain(toContent(parsed.output))) throw broken("is nested too deep, or made of too many objects");
  return parsed.output;
}

/** What stands in the record of an exit as it is. */
function toContent(end: SaidEnd): unknown {
  if (end.type === "threw") return end.error;
  return end.value.encoding === "json" ? end.value.value : null;
}

/** What becomes a packet. */
export type SaidValue = Said & { readonly kind: "value" | "part" };

const FRAMING: Framing<SaidKind> = {
  kinds: KINDS,
  headerBytes: FRAMING_BYTES,
  maxBytes: MAX_PAYLOAD_BYTES,
  refuse: () => new AppError("protocol_error", "Cannot read what a runner says: a record is none"),
};

/** One record. Its payload is not copied: both are to be written one after the other. */
export function encodeSaid(kind: SaidKind, payload: Uint8Array): readonly [Uint8Array, Uint8Array] {
  return [encodeHeader(FRAMING, kind, payload.length, 0), payload];
}

/** A value of any length, as records. */
export function* splitSaid(payload: Uint8Array): Generator<readonly [Uint8Array, Uint8Array], void, void> {
  let start = 0;
  for (; payload.length - start > MAX_PAYLOAD_BYTES; start += MAX_PAYLOAD_BYTES)
    yield encodeSaid("part", payload.subarray(start, start + MAX_PAYLOAD_BYTES));
  yield encodeSaid("value", payload.subarray(start));
}

/** Cuts what arrives into records. Throws `protocol_error` for what is none. */
export class SaidDecoder {
  readonly #cutter = new Cutter(FRAMING);

  /** Whether the beginning of a record came, and its end did not. */
  get isWithin(): boolean {
    return this.#cutter.isWithin;
  }

  /** The records that are whole now. */
  push(chunk: Uint8Array): Iterable<Said> {
    return this.#cutter.copy(chunk);
  }
}
