import { AppError } from "../../protocol/error.ts";
import { Cutter, encodeHeader, type Framing, FRAMING_BYTES } from "../../protocol/framing.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import { ExecutionId } from "../../protocol/task.ts";

/**
 * What a front tells the runner of a task, on its stdin, big-endian: length of the payload u32 · kind u8 · a UUID, 16 bytes ·
 * payload of at most 64 KiB. `args`: a piece of what an execution, or the end, is given, which `run` and `exit` complete by
 * the last one. `mark` is answered as it is, by which a front knows that all that came before it was read; what was begun
 * then and not run is forgotten, as it is by `drop`.
 */
const KINDS = ["args", "run", "exit", "drop", "mark"] as const;
export type TaskRecordKind = (typeof KINDS)[number];

export interface TaskRecord {
  readonly kind: TaskRecordKind;
  readonly id: ExecutionId;
  readonly payload: Uint8Array;
}

const ID_BYTES = 16;
const NO_BYTES = new Uint8Array(0);

const FRAMING: Framing<TaskRecordKind> = {
  kinds: KINDS,
  headerBytes: FRAMING_BYTES + ID_BYTES,
  maxBytes: MAX_PAYLOAD_BYTES,
  refuse: () => new AppError("protocol_error", "Cannot read what a task is told: a record is none"),
};

export function encodeTaskRecord(
  kind: TaskRecordKind,
  id: ExecutionId,
  payload: Uint8Array = NO_BYTES,
): Uint8Array {
  const record = encodeHeader(FRAMING, kind, payload.length);
  record.set(Buffer.from(id.replaceAll("-", ""), "hex"), FRAMING_BYTES);
  record.set(payload, FRAMING.headerBytes);
  return record;
}

/** Cuts what arrives into records. */
export class TaskDecoder {
  readonly #cutter = new Cutter(FRAMING);

  /** The records that are whole now. Throws `protocol_error` for what is none. */
  *push(chunk: Uint8Array): Generator<TaskRecord, void, void> {
    for (const { kind, header, payload } of this.#cutter.copy(chunk))
      yield { kind, id: toId(header.subarray(FRAMING_BYTES)), payload };
  }
}

function toId(bytes: Uint8Array): ExecutionId {
  const hex = Buffer.from(bytes).toString("hex");
  // Sixteen bytes in hex with these hyphens are what the schema asks for.
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") as ExecutionId;
}
