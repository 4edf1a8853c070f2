import { formatDuration } from "../lib/duration.ts";
import { escapeControls } from "../lib/escape.ts";
import { quote } from "../lib/quote.ts";
import { toWidth } from "../lib/width.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import { describeState } from "./describe.ts";

/** Characters of a command line, labels or info in a table. */
const CELL_CHARACTERS = 100;
/** Characters of a state: room for two pids of a lost job. Why one did not start would push all that follows off the screen. */
const STATE_CHARACTERS = 48;

/** What a table of jobs can show, column by column. */
const COLUMNS = {
  job: ({ number }) => String(number),
  id: ({ id }) => id,
  state: (job) => cut(describeState(job), STATE_CHARACTERS),
  time: toAge,
  command: ({ argv }) => toCommandLine(argv),
  exit: toExit,
  labels: ({ labels }) => cut(toLabels(labels)),
  owner: ({ owner }) => owner,
  kind: ({ command }) => command,
  values: ({ totals }) => (totals === undefined ? "" : String(totals.values)),
  started: ({ startedAt }) => startedAt,
  ended: ({ endedAt }) => endedAt ?? "",
  cwd: ({ cwd }) => cwd,
  key: ({ key }) => key ?? "",
  info: ({ info }) => (info === undefined ? "" : cut(JSON.stringify(info))),
} as const satisfies Readonly<Record<string, (job: JobSummary) => string>>;
export type Column = keyof typeof COLUMNS;

export const COLUMN_NAMES = Object.keys(COLUMNS) as readonly Column[];
export const DEFAULT_COLUMNS: readonly Column[] = ["job", "id", "state", "time", "command"];

/** Reads `job,state,labels`. Throws `invalid_input`. */
export function parseColumns(text: string): readonly Column[] {
  return text.split(",").map((word) => {
    const column = COLUMN_NAMES.find((name) => name === word.trim().toLowerCase());
    if (column !== undefined) return column;
    throw new AppError(
      "invalid_input",
      `Cannot show column "${word.slice(0, 50)}": choose of ${COLUMN_NAMES.join(", ")}`,
    );
  });
}

/** One line per job below a heading, in aligned columns. */
export function toTable(summaries: readonly JobSummary[], columns: readonly Column[]): string {
  if (summaries.length === 0) return "No jobs";
  return align([toHeading(columns), ...summaries.map((job) => toRow(job, columns))]).join("\n");
}

/** Columns of a terminal beyond which a cell makes those above and below it no wider: one word of a bad server would make all huge. */
const WIDEST = 200;

/** Cells side by side, harmless on a terminal, each column as wide as its widest cell or as the width that was reached before. */
export function align(table: readonly (readonly string[])[], widths: number[] = []): string[] {
  const rows = table.map((cells) => cells.map(escapeControls));
  for (const row of rows)
    row.forEach(
      (cell, column) => (widths[column] = Math.max(widths[column] ?? 0, Math.min(WIDEST, toWidth(cell)))),
    );
  return rows.map((row) =>
    row
      .map((cell, column) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - toWidth(cell))))
      .join("  ")
      .trimEnd(),
  );
}

export function toHeading(columns: readonly Column[]): readonly string[] {
  return columns.map((column) => column.toUpperCase());
}

/** A job's cells. */
export function toRow(job: JobSummary, columns: readonly Column[]): readonly string[] {
  return columns.map((column) => COLUMNS[column](job));
}

/** Labels as they are typed, harmless on a terminal. */
export function toLabels(labels: JobSummary["labels"] = {}): string {
  const words = Object.entries(labels).map(([name, value]) => (value === "" ? name : `${name}=${value}`));
  return escapeControls(words.map(quote).join(" "));
}

function toCommandLine(argv: readonly string[]): string {
  return cut(argv.map(quote).join(" "));
}

function toAge({ startedAt, endedAt }: JobSummary): string {
  return formatDuration(Math.max(0, Date.parse(endedAt ?? new Date().toISOString()) - Date.parse(startedAt)));
}

/** The code or signal with which the process itself ended. */
function toExit({ outcome }: JobSummary): string {
  const end = outcome !== undefined && "end" in outcome ? outcome.end : outcome;
  if (end?.type === "exited") return String(end.code);
  return end?.type === "signaled" ? end.signal : "";
}

function cut(text: string, characters = CELL_CHARACTERS): string {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
}
