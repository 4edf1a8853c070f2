import { LedgerReader } from "../../src/ledger/reader.ts";
import type { JobId } from "../../src/protocol/id.ts";
import { MAX_DATA_BYTES } from "../../src/protocol/limits.ts";
import {
  decodeRecords,
  type Exit,
  type Packet,
  type RecordedPacket,
  type RawRecord,
  toPacket,
} from "../../src/protocol/packet.ts";

/** All records of a ledger, as they are. */
export function readRecords(directory: string, job: JobId): RawRecord[] {
  using reader = new LedgerReader(directory, job, 0);
  const records: RawRecord[] = [];
  for (;;) {
    const target = new Uint8Array(MAX_DATA_BYTES);
    const length = reader.read(target, Number.POSITIVE_INFINITY);
    if (length === 0) return records;
    records.push(...decodeRecords(target.subarray(0, length)));
  }
}

/** Everything that a reader gives now, up to a position. Checksums are checked on the way. */
export function readPackets(
  reader: LedgerReader,
  limit: number = Number.POSITIVE_INFINITY,
  targetBytes: number = MAX_DATA_BYTES,
): RecordedPacket[] {
  const packets: RecordedPacket[] = [];
  for (;;) {
    const target = new Uint8Array(targetBytes);
    const length = reader.read(target, limit);
    if (length === 0) return packets;
    for (const record of decodeRecords(target.subarray(0, length)))
      packets.push(toPacket(record) as RecordedPacket);
  }
}

/** All that a ledger holds from a packet on. */
export function readLedger(
  directory: string,
  job: JobId,
  since = 0,
  limit: number = Number.POSITIVE_INFINITY,
): RecordedPacket[] {
  using reader = new LedgerReader(directory, job, since);
  return readPackets(reader, limit);
}

/** The bytes of one stream, joined. */
export function bytesOf(
  packets: readonly (Packet | RecordedPacket)[],
  stream: "stdout" | "stderr",
): Uint8Array {
  return Buffer.concat(packets.flatMap((packet) => (packet.type === stream ? [packet.bytes] : [])));
}

export function textOf(
  packets: readonly (Packet | RecordedPacket)[],
  stream: "stdout" | "stderr" = "stdout",
): string {
  return new TextDecoder().decode(bytesOf(packets, stream));
}

/** An exit for tests that only need there to be one. */
export const SOME_EXIT: Exit = {
  outcome: { type: "exited", code: 0 },
  totals: { packets: 0, values: 0, stdoutBytes: 0, stderrBytes: 0 },
  endedAt: "then",
};
