import { AppError } from "../../protocol/error.ts";
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

const ID_START = 5;
const HEADER_BYTES = 21;
const NO_BYTES = new Uint8Array(0);

export function encodeTaskRecord(
  kind: TaskRecordKind,
  id: ExecutionId,
  payload: Uint8Array = NO_BYTES,
): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES + payload.length);
  new DataView(record.buffer).setUint32(0, payload.length);
  record[4] = KINDS.indexOf(kind);
  record.set(Buffer.from(id.replaceAll("-", ""), "hex"), ID_START);
  record.set(payload, HEADER_BYTES);
  return record;
}

/** Cuts what arrives into records. */
export class TaskDecoder {
  #pending: Uint8Array = NO_BYTES;

  /** The records that are whole now. Throws `protocol_error` for what is none. */
  *push(chunk: Uint8Array): Generator<TaskRecord, void, void> {
    this.#pending =
      this.#pending.length === 0 ? new Uint8Array(chunk) : Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= HEADER_BYTES) {
      const length = new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0);
      const kind = KINDS[this.#pending[4] ?? KINDS.length];
      if (kind === undefined || length > MAX_PAYLOAD_BYTES)
        throw new AppError("protocol_error", "Cannot read what a task is told: a record is none");
      if (this.#pending.length < HEADER_BYTES + length) return;
      const id = toId(this.#pending.subarray(ID_START, HEADER_BYTES));
      const payload = this.#pending.subarray(HEADER_BYTES, HEADER_BYTES + length);
      this.#pending = this.#pending.subarray(HEADER_BYTES + length);
      yield { kind, id, payload };
    }
  }
}

function toId(bytes: Uint8Array): ExecutionId {
  const hex = Buffer.from(bytes).toString("hex");
  // Sixteen bytes in hex with these hyphens are what the schema asks for.
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") as ExecutionId;
}
