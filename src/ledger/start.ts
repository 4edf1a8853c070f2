import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { JobId, KeeperId } from "../protocol/id.ts";
import { ProcessIdentity } from "../protocol/job.ts";

/** What a job was asked to be. It stands apart from the segments and is never dropped. */
export const StartRecord = v.object({
  format: v.literal(1),
  job: JobId,
  /** The short number of this server. */
  number: v.number(),
  command: v.string(),
  argv: v.array(v.string()),
  cwd: v.string(),
  /** Names only: values may be secrets. */
  envNames: v.array(v.string()),
  owner: v.string(),
  keeper: KeeperId,
  merge: v.boolean(),
  /** Bytes of output kept; absent for all. */
  keepBytes: v.optional(v.number()),
  /** Wall clock. */
  startedAt: v.string(),
});
export type StartRecord = v.InferOutput<typeof StartRecord>;

/** Makes the ledger's directory with its start record. Throws EEXIST when the id is claimed already. */
export function claimLedger(directory: string, start: StartRecord): void {
  mkdirSync(directory);
  writeFileSync(join(directory, "start.json"), JSON.stringify(start));
}

/** The start record, or undefined when the claim was cut short before anything was started. */
export function findStart(directory: string): StartRecord | undefined {
  return findJson(join(directory, "start.json"), StartRecord);
}

/** Notes which process the job is, for whoever must find it when its keeper is gone. */
export function writeProcess(directory: string, identity: ProcessIdentity): void {
  writeFileSync(join(directory, "process.json"), JSON.stringify(identity));
}

export function findProcess(directory: string): ProcessIdentity | undefined {
  return findJson(join(directory, "process.json"), ProcessIdentity);
}

function findJson<const S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(readFileSync(path, "utf8")));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined; // absent, or cut off when the machine stopped in the middle of writing it
  }
}
