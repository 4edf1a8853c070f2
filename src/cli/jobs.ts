import { findJobs, listJobs } from "../client/listing.ts";
import { jobs as command } from "../commands/jobs.ts";
import { COLUMN_NAMES, DEFAULT_COLUMNS, parseColumns, toTable } from "../commands/table.ts";
import { toSeenJob } from "../commands/seen.ts";
import { AppError } from "../protocol/error.ts";
import { type Arguments, type ArgSpecs, parseCount } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";
import { watch } from "./watch.ts";

const args = {
  ...command.cli.args,
  limit: { type: "string", valueHint: "n", description: "At most so many, the newest" },
  columns: { type: "string", valueHint: "name,…", description: `What to show: ${COLUMN_NAMES.join(", ")}` },
  watch: {
    type: "boolean",
    alias: "w",
    description: "Show changes as they happen: in place on a terminal, elsewhere one per line",
  },
} as const satisfies ArgSpecs;

/** Lists jobs, page after page, or shows how they change. */
export const jobs: Verb = { ...command.cli, summary: command.summary, args, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const { refs = [], filter } = command.cli.toInput(values);
  const limit = toLimit(values.text("limit"));
  const columns = parseColumns(values.text("columns") ?? DEFAULT_COLUMNS.join(","));
  if (refs.length > 0 && (filter !== undefined || limit !== undefined || values.flag("watch")))
    throw new AppError(
      "invalid_input",
      "Cannot filter, limit or watch named jobs: leave out the names, or those options",
    );
  if (values.flag("watch") && limit !== undefined)
    throw new AppError("invalid_input", "Cannot use --limit with --watch: it shows every change");
  await using session = await openSession(context);
  if (values.flag("watch")) return await watch(session, { filter, columns }, context);
  const found =
    refs.length > 0
      ? { jobs: await findJobs(session, refs, context.signal), more: false }
      : await listJobs(session, { ...(filter && { filter }), ...(limit && { limit }) }, context.signal);
  const seen = { ...found, jobs: found.jobs.map(toSeenJob) };
  print(context, seen, () => toTable(found.jobs, columns));
  return 0;
}

function toLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const limit = parseCount("--limit", text);
  if (limit > 0) return limit;
  throw new AppError("invalid_input", 'Cannot use --limit "0": write a whole number of at least 1');
}
