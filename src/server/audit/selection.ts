import { delay } from "../../lib/abort.ts";
import { type AuditLine, findLine } from "./line.ts";
import { openSnapshot, readLines } from "./reading.ts";

/** Milliseconds between two looks for new lines. */
const POLL = 200;

/** Which lines are wanted; all of what is said must hold. */
export interface AuditFilter {
  /** Wall clock. */
  readonly since: Date | undefined;
  readonly user: string | undefined;
  readonly event: string | undefined;
  /** The number of a job, its id, or how that begins. */
  readonly job: string | undefined;
}

/** The lines of a log that a filter asks for, the oldest first; with `follow` also those to come, until the signal is aborted. */
export async function* selectLines(
  directory: string,
  filter: AuditFilter,
  { follow, signal }: { readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<AuditLine, void, void> {
  const isMeant = toPredicate({ ...filter, job: await findJob(directory, filter.job) });
  const seen = new Map<string, number>();
  for (;;) {
    using snapshot = openSnapshot(directory);
    for await (const { bytes } of readLines(snapshot, seen)) {
      const line = findLine(Buffer.from(bytes).toString());
      if (line !== undefined && isMeant(line)) yield line;
      signal.throwIfAborted();
    }
    if (!follow) return;
    for (const { name, size } of snapshot.files) seen.set(name, size);
    await delay(POLL, signal);
  }
}

/** The id of the newest job of a number, by which the lines are known that do not tell the number yet. */
async function findJob(directory: string, job: string | undefined): Promise<string | undefined> {
  if (job === undefined || !/^\d{1,9}$/.test(job)) return job;
  using snapshot = openSnapshot(directory);
  let id = job;
  for await (const { bytes } of readLines(snapshot)) {
    const { fields } = findLine(Buffer.from(bytes).toString()) ?? {};
    if (fields?.["number"] === Number(job) && typeof fields["job"] === "string") id = fields["job"];
  }
  return id;
}

function toPredicate({ since, user, event, job }: AuditFilter): (line: AuditLine) => boolean {
  const from = since?.toISOString() ?? "";
  return ({ time, fields, event: own }) =>
    time >= from &&
    (user === undefined || fields["user"] === user) &&
    (event === undefined || own === event) &&
    (job === undefined || isOfJob(fields["job"], job));
}

function isOfJob(id: unknown, job: string): boolean {
  return typeof id === "string" && job.length >= 4 && id.startsWith(job.toLowerCase());
}
