import type { Session } from "../client/session.ts";
import { type JobEvent, watchJobs } from "../client/watch.ts";
import { align, type Column, toHeading, toRow } from "../commands/table.ts";
import { Bell } from "../lib/bell.ts";
import { delay } from "../lib/abort.ts";
import { toSeenJob } from "../commands/seen.ts";
import { toJsonLine } from "../lib/escape.ts";
import type { JobFilter } from "../protocol/filter.ts";
import type { JobId } from "../protocol/id.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Context, Screen } from "./context.ts";
import { toSignalCode } from "./exit.ts";

/** Milliseconds after which a table is painted again though nothing has changed: times go on, windows change their size. */
const REPAINT = 1_000;

/**
 * The terminal's other screen, without cursor, and back to what was there before. Lines do not go on in the next one: only
 * the terminal knows how wide it shows a text.
 */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";

export interface WatchOptions {
  readonly filter: JobFilter | undefined;
  readonly columns: readonly Column[];
}

/** Shows jobs as they change until it is interrupted: on a terminal in place, elsewhere a line for each change. */
export async function watch(session: Session, options: WatchOptions, context: Context): Promise<number> {
  const { globals, screen, sinks } = context;
  if (globals.json) return await writeLines(session, options, context, toJson);
  if (screen() !== undefined) return await paint(session, options, context);
  const widths: number[] = [];
  const toLine = (cells: readonly string[]) => align([cells], widths).join("");
  sinks.stdout.writeLine(toLine(toHeading(options.columns)));
  return await writeLines(session, options, context, (event) =>
    event.type === "removed" ? `Job ${event.number} was removed` : toLine(toRow(event.job, options.columns)),
  );
}

function toJson(event: JobEvent): string {
  return toJsonLine(event.type === "removed" ? event : { ...event, job: toSeenJob(event.job) });
}

async function writeLines(
  session: Session,
  { filter }: WatchOptions,
  { sinks: { stdout }, signal }: Context,
  toLine: (event: JobEvent) => string,
): Promise<number> {
  for await (const events of watchJobs(session, filter, signal)) {
    for (const event of events) stdout.writeLine(toLine(event));
    await stdout.flushed();
    if (stdout.failure !== undefined) throw stdout.failure;
    if (stdout.isUnread) break;
  }
  return toSignalCode("PIPE");
}

async function paint(session: Session, { filter, columns }: WatchOptions, context: Context): Promise<never> {
  const { sinks, screen } = context;
  const left = new AbortController();
  const signal = AbortSignal.any([context.signal, left.signal]);
  const jobs = new Map<JobId, JobSummary>();
  const bell = new Bell();
  sinks.stdout.write(ENTER);
  const listening = (async (): Promise<never> => {
    for await (const events of watchJobs(session, filter, signal)) {
      for (const event of events) take(jobs, event);
      bell.ring();
    }
    throw new Error("unreachable: watching ends by throwing");
  })();
  const painting = (async (): Promise<never> => {
    for (;;) {
      const size = screen();
      if (size !== undefined) sinks.stdout.write(toFrame([...jobs.values()], columns, size));
      await sinks.stdout.flushed();
      if (sinks.stdout.failure !== undefined) throw sinks.stdout.failure;
      await Promise.race([bell.wait(), delay(REPAINT, signal)]);
    }
  })();
  try {
    return await Promise.race([listening, painting]);
  } finally {
    left.abort(); // nothing is painted on the screen that we go back to
    sinks.stdout.write(LEAVE);
  }
}

function take(jobs: Map<JobId, JobSummary>, event: JobEvent): void {
  if (event.type === "job") jobs.set(event.job.id, event.job);
  else jobs.delete(event.type === "left" ? event.job.id : event.id);
}

/** The newest jobs that the screen has room for. Each line is written over the one that was there. */
function toFrame(
  jobs: readonly JobSummary[],
  columns: readonly Column[],
  { columns: width, rows }: Screen,
): string {
  const newest = jobs.toSorted((a, b) => b.number - a.number).slice(0, Math.max(0, rows - 2));
  const lines = align([toHeading(columns), ...newest.map((job) => toRow(job, columns))]);
  const hidden = jobs.length - newest.length;
  const rest = hidden > 0 ? [`and ${hidden} older`] : [];
  const shown = [...lines, ...rest].map((line) => `${line.slice(0, width)}\x1b[K`);
  return `\x1b[H${shown.join("\r\n")}\x1b[J`;
}
