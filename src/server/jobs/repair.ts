import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import * as v from "valibot";
import { findEnding } from "../../ledger/ending.ts";
import { inspectLedger } from "../../ledger/inspection.ts";
import { findStart, findStartFault } from "../../ledger/start.ts";
import type { Log } from "../../lib/log.ts";
import { toMessage } from "../../lib/message.ts";
import { AppError } from "../../protocol/error.ts";
import { JobId } from "../../protocol/id.ts";
import { lockState, prepareState } from "../state.ts";
import { type IndexedJob, JobIndex } from "./job-index.ts";

/** The files of an index: SQLite keeps what is not yet in the first in the others. */
const SUFFIXES = ["", "-wal", "-shm"] as const;

export interface RepairOptions {
  readonly state: string;
  /** Set the index aside and rebuild it, sound or not. */
  readonly rebuild: boolean;
  readonly now: Date;
}

/** What a repair found and did. */
export interface RepairReport {
  /** What the index was; `why` if it was neither sound nor missing. */
  readonly index: { readonly found: "sound" | "missing" | "damaged" | "newer"; readonly why?: string };
  /** Whether it was rebuilt from the ledgers. */
  readonly rebuilt: boolean;
  /** Names in the state directory of what was set aside. */
  readonly setAside: readonly string[];
  /** Jobs in the index now, and the highest number that one of them has. */
  readonly jobs: number;
  readonly lastNumber: number;
  /** Ledgers with something wrong in them, which were left as they are. */
  readonly damaged: readonly DamagedLedger[];
}

export interface DamagedLedger {
  readonly job: string;
  readonly number?: number;
  readonly faults: readonly string[];
}

interface Found {
  readonly jobs: readonly IndexedJob[];
  readonly damaged: readonly DamagedLedger[];
}

/**
 * Reads all ledgers of a state directory, and rebuilds its index from them if that is missing or damaged; what was there
 * is set aside. It removes nothing. Throws `state_in_use` while a server runs, `not_found` where none ever did.
 */
export function repair({ state, rebuild, now }: RepairOptions): RepairReport {
  if (!existsSync(join(state, "ledgers")))
    throw new AppError("not_found", `Cannot repair "${state}": it is no state directory of farhandd`);
  prepareState(state);
  using _lock = lockStopped(state);
  const found = readLedgers(state);
  const path = join(state, "state.db");
  const index = inspectIndex(path, found.jobs, rebuild);
  const rebuilt = rebuild || index.found === "missing" || index.found === "damaged";
  return {
    index,
    rebuilt,
    setAside: rebuilt ? replaceIndex(path, found.jobs, now) : [],
    jobs: rebuilt ? found.jobs.length : countJobs(path),
    lastNumber: Math.max(0, ...found.jobs.map(({ start }) => start.number)),
    damaged: found.damaged,
  };
}

/** What a report says to people. */
export function describeRepair({
  index,
  rebuilt,
  setAside,
  jobs,
  lastNumber,
  damaged,
}: RepairReport): string {
  const aside = setAside.length > 0 ? `, set aside as ${setAside.join(", ")}` : "";
  const lines = [`Index: ${index.found}${aside}`];
  if (index.why !== undefined) lines.push(`  ${index.why}`);
  lines.push(
    rebuilt
      ? `Rebuilt from the ledgers: ${jobs} jobs, the last is number ${lastNumber}; which were removed before is forgotten`
      : `Left as it is: ${jobs} jobs`,
  );
  lines.push(
    damaged.length === 0 ? "Ledgers: sound" : `Ledgers: ${damaged.length} damaged, left as they are`,
  );
  for (const { job, number, faults } of damaged)
    lines.push(`  ${number === undefined ? "" : `job ${number}, `}${job}: ${faults.join("; ")}`);
  return lines.join("\n");
}

function lockStopped(state: string): Disposable {
  try {
    return lockState(state);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, `${error.message}; stop it first`, { cause: error });
  }
}

function readLedgers(state: string): Found {
  const jobs: IndexedJob[] = [];
  const damaged: DamagedLedger[] = [];
  for (const name of readdirSync(join(state, "ledgers")).sort()) {
    const id = v.safeParse(JobId, name);
    if (!id.success) continue; // no ledger of ours
    const directory = join(state, "ledgers", name);
    const start = findStart(directory);
    try {
      const { exit, closed } = findEnding(directory, id.output);
      if (start !== undefined) jobs.push({ start, exit, closed });
      const faults = [
        ...explainStart(directory),
        ...inspectLedger(directory, id.output, closed).map(describeFault),
      ];
      if (faults.length > 0) damaged.push({ job: name, ...(start && { number: start.number }), faults });
    } catch (error) {
      const why = toMessage(error);
      damaged.push({ job: name, faults: [`it cannot be read (${why})`] });
    }
  }
  return { jobs, damaged };
}

function explainStart(directory: string): string[] {
  switch (findStartFault(directory)) {
    case undefined:
      return [];
    case "missing":
      return ["it has no start record: no job was started in it"];
    case "newer":
      return ["a newer farhandd wrote it, so that it is in no list of this one"];
    case "unreadable":
      return ["its start record cannot be read, so that it is in no list"];
  }
}

function describeFault({ packet, behind }: { readonly packet: number; readonly behind?: number }): string {
  return behind === undefined
    ? `damaged at packet ${packet}`
    : `packets ${packet} to ${behind - 1} cannot be read`;
}

/** Whether an index can be used and says of every job what its ledger says. Throws what only `--rebuild` goes over. */
function inspectIndex(path: string, jobs: readonly IndexedJob[], rebuild: boolean): RepairReport["index"] {
  if (!existsSync(path)) return { found: "missing" };
  try {
    using index = new JobIndex(path, silent(), jobs.length === 0);
    index.list(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    const wrong = jobs.find(({ start }) => {
      const known = index.find(start.job)?.start;
      return known !== undefined && !isSame(known, start);
    });
    if (wrong === undefined) return { found: "sound" };
    return { found: "damaged", why: `it does not say of job ${wrong.start.number} what its ledger says` };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const fault = error.details?.["fault"];
    if (!rebuild && (fault === "newer" || fault === "unusable")) throw error;
    return { found: fault === "newer" ? "newer" : "damaged", why: error.message };
  }
}

/** Labels may be changed after the start. */
function isSame(one: IndexedJob["start"], other: IndexedJob["start"]): boolean {
  const fixed = ({ labels: _, ...start }: IndexedJob["start"]) => start;
  return Bun.deepEquals(fixed(one), fixed(other));
}

/** Puts a new index in the place of the old one. When it is cut short, either or none is there, which the ledgers mend. */
function replaceIndex(path: string, jobs: readonly IndexedJob[], now: Date): string[] {
  const fresh = `${path}.new`;
  for (const suffix of SUFFIXES) rmSync(`${fresh}${suffix}`, { force: true });
  fillIndex(fresh, jobs);
  const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const setAside: string[] = [];
  for (const suffix of SUFFIXES) {
    if (!existsSync(`${path}${suffix}`)) continue;
    const to = `${path}.${stamp}${suffix}`;
    renameSync(`${path}${suffix}`, to);
    setAside.push(basename(to));
  }
  renameSync(fresh, path);
  return setAside;
}

function fillIndex(path: string, jobs: readonly IndexedJob[]): void {
  let failure = "";
  using index = new JobIndex(path, {
    ...silent(),
    warn: (_, fields) => (failure = String(fields?.["error"])),
  });
  for (const job of jobs) index.put(job);
  if (!index.flush())
    throw new AppError("unavailable", `Cannot write a new index beside the old one: ${failure}`);
}

function countJobs(path: string): number {
  using index = new JobIndex(path, silent());
  return index.size;
}

/** What is wrong is in the report. */
function silent(): Log {
  return { error() {}, warn() {}, info() {}, debug() {} };
}
