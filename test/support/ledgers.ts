import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { claimLedger, type StartRecord } from "../../src/ledger/start.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import type { JobId } from "../../src/protocol/id.ts";
import { createStart } from "./start.ts";

/** A ledger that was just begun, as a keeper begins one. */
export function openLedger(
  state: string,
  changes: Partial<StartRecord> = {},
): { readonly job: JobId; readonly directory: string; readonly writer: LedgerWriter } {
  const start = createStart(changes);
  const directory = join(state, "ledgers", start.job);
  mkdirSync(join(state, "ledgers"), { recursive: true });
  claimLedger(directory, start)?.[Symbol.dispose]();
  const options = {
    keepBytes: start.keepBytes,
    clock: () => 0,
    released: () => Number.POSITIVE_INFINITY,
  };
  return { job: start.job, directory, writer: LedgerWriter.create(directory, start.job, options) };
}

/** The ledger of a job that wrote these words, one a packet, and exited with this code. */
export function writeLedger(
  state: string,
  words: readonly string[],
  code: number,
  changes: Partial<StartRecord> = {},
): { readonly job: JobId; readonly directory: string } {
  const { job, directory, writer } = openLedger(state, changes);
  for (const word of words) writer.append("stdout", new TextEncoder().encode(word));
  writer.close(writer.exit({ outcome: { type: "exited", code }, endedAt: "2026-01-01T00:00:01.000Z" }));
  writer[Symbol.dispose]();
  return { job, directory };
}
