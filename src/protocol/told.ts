import type { ExecutionId } from "./task.ts";

/**
 * What the runner of a task tells, as values of its job: a CBOR array of what it is, the execution that it is about or null, and
 * what there is to it, if anything. It always begins in the same way, so that it can be told apart unread.
 */
const TYPES = [
  /** `init` has returned, or was not needed since a state was restored: `{restored}`; or it has not: an error. */
  "ready",
  "failed",
  /** An execution has begun, has answered (a value), has returned (`{responded}`), has thrown (an error). */
  "began",
  "responded",
  "finished",
  "threw",
  /** A state to begin the next process with. */
  "saved",
  /** `exit` has returned; or it has thrown (an error). */
  "exited",
  "broken",
  /** All that was told before this mark was read, whose id stands in the place of an execution's: `{running, ending}`: an id or null, and whether it was told to end. */
  "marked",
] as const;
export type ToldType = (typeof TYPES)[number];

export interface Told {
  readonly type: ToldType;
  readonly id: ExecutionId | undefined;
  /** CBOR with its tag, if there is any. */
  readonly payload: Uint8Array | undefined;
  /** Bytes before the payload where it was read, behind which it goes on without the tag. */
  readonly start: number;
}

/** The tag that says that CBOR follows, with which `encodeCbor` begins. */
export const TAG = new Uint8Array([0xd9, 0xd9, 0xf7]);
const ARRAY = 0x80;
const TEXT = 0x60;
const ID_BYTES = 36;
const LONG_TEXT = 0x78;
const NULL = 0xf6;

/** `payload`: CBOR with its tag. */
export function encodeTold(type: ToldType, id: ExecutionId | undefined, payload?: Uint8Array): Uint8Array {
  const head = [ARRAY + (payload === undefined ? 2 : 3), TEXT + type.length, ...toBytes(type)];
  const which = id === undefined ? [NULL] : [LONG_TEXT, ID_BYTES, ...toBytes(id)];
  return Buffer.concat([
    TAG,
    new Uint8Array([...head, ...which]),
    ...(payload ? [payload.subarray(TAG.length)] : []),
  ]);
}

/** What is told, from its beginning at least; undefined for what no runner of a task tells. */
export function readTold(bytes: Uint8Array): Told | undefined {
  const count = bytes[TAG.length] ?? 0;
  const length = (bytes[TAG.length + 1] ?? 0) - TEXT;
  const isArray =
    TAG.every((byte, index) => bytes[index] === byte) && (count === ARRAY + 2 || count === ARRAY + 3);
  if (!isArray || length < 0 || length > 20) return undefined;
  const idStart = TAG.length + 2 + length;
  const word = toText(bytes.subarray(TAG.length + 2, idStart));
  const type = TYPES.find((type) => type === word);
  const id = readId(bytes, idStart);
  if (type === undefined || id === undefined) return undefined;
  const payload = count === ARRAY + 3 ? Buffer.concat([TAG, bytes.subarray(id.end)]) : undefined;
  return { type, id: id.value, payload, start: id.end };
}

function readId(
  bytes: Uint8Array,
  start: number,
): { readonly value: ExecutionId | undefined; readonly end: number } | undefined {
  if (bytes[start] === NULL) return { value: undefined, end: start + 1 };
  const end = start + 2 + ID_BYTES;
  if (bytes[start] !== LONG_TEXT || bytes[start + 1] !== ID_BYTES || bytes.length < end) return undefined;
  // It is compared to such as were checked, and goes nowhere if it is none.
  return { value: toText(bytes.subarray(start + 2, end)) as ExecutionId, end };
}

function toBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
