import { join } from "node:path";
import { turn } from "../../lib/abort.ts";
import { Litter } from "../../lib/litter.ts";
import { LedgerReader } from "../../ledger/reader.ts";
import type { JobId } from "../../protocol/id.ts";
import { MAX_DATA_BYTES } from "../../protocol/limits.ts";
import { decodeRecords } from "../../protocol/packet.ts";
import { AppError } from "../../protocol/error.ts";
import { readTold, TAG } from "../../protocol/told.ts";

/** How often what is read is copied on its way. */
const COPIES = 4;

/** The packets of a ledger that hold something told, and how many bytes its payload takes. */
export interface Place {
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

/** The payload of something told, as CBOR with its tag, piece by piece. Throws `incomplete_output` where some of it is gone. */
export async function* readPayload(
  ledgers: string,
  job: JobId,
  { first, last }: Place,
): AsyncGenerator<Uint8Array, void, void> {
  using reader = new LedgerReader(join(ledgers, job), job, first);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  const litter = new Litter();
  let next = first;
  while (next <= last) {
    const bytes = reader.read(buffer, Number.POSITIVE_INFINITY);
    if (bytes === 0) throw gone();
    for (const { kind, number, payload } of decodeRecords(buffer.subarray(0, bytes))) {
      if (kind === "gap") throw gone();
      if (number > last) return;
      if (kind !== "part" && kind !== "value") continue;
      if (number === first) yield TAG;
      yield new Uint8Array(payload.subarray(number === first ? (readTold(payload)?.start ?? 0) : 0));
    }
    if (reader.next > last) return;
    next = reader.next;
    litter.leave(COPIES * bytes);
    await turn();
  }
}

function gone(): AppError {
  return new AppError(
    "incomplete_output",
    "Cannot read what was answered: the record of the job has lost it",
  );
}
