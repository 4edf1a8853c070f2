import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { JobId, KeeperId } from "../protocol/id.ts";
import { ProcessIdentity } from "../protocol/job.ts";
import { Terms } from "../protocol/terms.ts";
import { findLabels } from "./labels.ts";
import { toErrorCode } from "../lib/error-code.ts";

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
  /** The links of the narrowed token that it was started with: who holds one of them sees it. */
  via: v.optional(v.array(v.string())),
  /** The role in which its owner started it: what that limits, it counts by this. */
  role: v.optional(v.string()),
  keeper: KeeperId,
  merge: v.boolean(),
  /** Bytes of output kept; absent for all. */
  keepBytes: v.optional(v.number()),
  /** Wall clock. */
  startedAt: v.string(),
  ...Terms.entries,
});
export type StartRecord = v.InferOutput<typeof StartRecord>;

/** A ledger's directory that was just made, with its start record: one line of JSON, and room for a second. */
export class Claim implements Disposable {
  readonly #fd: number;

  /** Throws the system's error if the record cannot be written. */
  constructor(directory: string, start: StartRecord) {
    this.#fd = openSync(toPath(directory), "ax", 0o600);
    try {
      this.#write(start);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Notes which process the job is, for whoever must find it when its keeper is gone. */
  noteProcess(identity: ProcessIdentity): void {
    this.#write(identity);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #write(line: StartRecord | ProcessIdentity): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    if (writeSync(this.#fd, bytes) < bytes.length)
      throw Object.assign(new Error("No space left"), { code: "ENOSPC" });
  }
}

/** Claims a job's id by making its directory; undefined when it is claimed already. */
export function claimLedger(directory: string, start: StartRecord): Claim | undefined {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (toErrorCode(error) === "EEXIST") return undefined;
    throw error;
  }
  try {
    return new Claim(directory, start);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Writes the start record of a job anew that the disk has lost, whole or not at all; its process stays unknown. */
export function restoreStart(directory: string, start: StartRecord): void {
  mkdirSync(directory, { recursive: true });
  const path = toPath(directory);
  writeFileSync(`${path}.new`, `${JSON.stringify(start)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Removes a ledger, its start record first: when that is cut short, what is left is no ledger any more. */
export function removeLedger(directory: string): void {
  for (const _ of dismantleLedger(directory));
}

/** The same file by file, each of which may take a millisecond. */
export function* dismantleLedger(directory: string): Generator<void, void, void> {
  rmSync(toPath(directory), { force: true });
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    yield;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
  rmSync(directory, { recursive: true, force: true });
}

/** Whether there is a ledger, and not only what is left of one. */
export function hasLedger(directory: string): boolean {
  return existsSync(toPath(directory));
}

/** The start record, with the labels that the job has now, or undefined when the claim was cut short before anything was started. */
export function findStart(directory: string): StartRecord | undefined {
  const start = findLine(directory, 0, StartRecord);
  const labels = start && findLabels(directory);
  return start && labels ? { ...start, labels } : start;
}

/** Why there is no start record that this version can use: `missing` where nothing was started; undefined where there is one. */
export function findStartFault(directory: string): "missing" | "newer" | "unreadable" | undefined {
  if (!existsSync(toPath(directory))) return "missing";
  if (findStart(directory) !== undefined) return undefined;
  const format = findLine(directory, 0, v.object({ format: v.number() }))?.format ?? 1;
  return format > 1 ? "newer" : "unreadable";
}

/** The process that the job is or was, or undefined when none was started or noted. */
export function findProcess(directory: string): ProcessIdentity | undefined {
  return findLine(directory, 1, ProcessIdentity);
}

function findLine<const S extends v.GenericSchema>(
  directory: string,
  index: number,
  schema: S,
): v.InferOutput<S> | undefined {
  try {
    const line = readFileSync(toPath(directory), "utf8").split("\n")[index];
    const parsed = v.safeParse(schema, JSON.parse(line ?? ""));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined; // absent, or cut off when the machine stopped in the middle of writing it
  }
}

function toPath(directory: string): string {
  return join(directory, "start.ndjson");
}
