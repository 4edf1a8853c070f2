import * as v from "valibot";
import type { StartRecord } from "../../src/ledger/start.ts";
import { JobId, KeeperId } from "../../src/protocol/id.ts";

/** The start record of some job, with what a test cares about. */
export function createStart(changes: Partial<StartRecord> = {}): StartRecord {
  return {
    format: 1,
    job: v.parse(JobId, Bun.randomUUIDv7()),
    number: 1,
    command: "exec",
    argv: ["true"],
    cwd: "/",
    envNames: [],
    owner: "local",
    keeper: v.parse(KeeperId, crypto.randomUUID()),
    merge: false,
    startedAt: "2026-01-01T00:00:00.000Z",
    ...changes,
  };
}
