import * as v from "valibot";
import { count } from "../lib/count.ts";
import { formatDuration } from "../lib/duration.ts";
import { escapeControls } from "../lib/escape.ts";
import { quote } from "../lib/quote.ts";
import { formatSize } from "../lib/size.ts";
import { JobRef } from "../protocol/id.ts";
import { JobDetails } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";
import { describeState } from "./describe.ts";
import { toSeenOutcome } from "./seen.ts";
import { toLabels } from "./table.ts";

export const jobShow = defineForeground({
  name: "job-show",
  summary: "Show all that is known of a job",
  permission: "read",
  idempotent: true,
  input: v.object({ job: JobRef }),
  positional: ["job"],
  result: JobDetails,

  run: ({ job }, { jobs }) => jobs.show(job),

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
    },
    examples: [
      ["farhand job show 3", "its program, terms, times, outcome, and what it left"],
      ["farhand job show @last --json | jq .labels", "the same for a script"],
    ],
    toInput: (values) => ({ job: values.text("job") ?? "" }),
    show: toText,
  },
});

function toText(job: JobDetails): string {
  const lines = toLines(job).filter(
    (line): line is [string, string] => line[1] !== undefined && line[1] !== "",
  );
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${escapeControls(value)}`).join("\n");
}

function toLines(job: JobDetails): (readonly [name: string, value: string | undefined])[] {
  const { limits, usage, totals, ledger, terminal } = job;
  return [
    ["job", String(job.number)],
    ["id", job.id],
    ["state", describeState(job)],
    ["command", job.command],
    ["program", job.argv.map(quote).join(" ")],
    ["directory", job.cwd],
    ["owner", job.owner],
    ["terminal", terminal && `${terminal.term}, ${terminal.columns} × ${terminal.rows} at first`],
    ["labels", toLabels(job.labels)],
    ["info", job.info === undefined ? undefined : JSON.stringify(job.info)],
    ["key", job.key],
    ["started", job.startedAt],
    ["ended", job.endedAt],
    ["took", job.endedAt && formatDuration(Date.parse(job.endedAt) - Date.parse(job.startedAt))],
    ["outcome", job.outcome && JSON.stringify(toSeenOutcome(job.outcome))],
    ["attached", job.holders > 0 ? count(job.holders, "client") : "nobody"],
    ["on disconnect", job.onDisconnect],
    ["max exec time", map(limits?.execMs, formatDuration)],
    ["idle timeout", map(limits?.idleMs, formatDuration)],
    ["max output", map(limits?.outputBytes, formatSize)],
    ["max memory", map(limits?.memoryBytes, formatSize)],
    ["max processes", limits?.processes?.toString()],
    ["nice", limits?.nice?.toString()],
    ["grace", map(limits?.graceMs, formatDuration)],
    ["output", totals && `${totals.stdoutBytes} bytes of stdout, ${totals.stderrBytes} of stderr`],
    ["values", totals && totals.values > 0 ? String(totals.values) : undefined],
    ["packets", String(job.next)],
    ["merged", job.merge ? "stdout and stderr in one pipe" : undefined],
    ["record", `${formatSize(ledger.bytes)} in ${count(ledger.segments, "segment")}`],
    ["keeps", job.keepBytes === undefined ? "all output" : `at most ${formatSize(job.keepBytes)} of output`],
    ["used", usage && toUsage(usage)],
    ["processes", job.processes?.map(({ pid, startTime }) => `${pid} (started ${startTime})`).join(", ")],
    ["keeper", job.keeper],
    ["variables", job.envNames.join(" ")],
  ];
}

function map(limit: number | undefined, format: (limit: number) => string): string | undefined {
  return limit === undefined ? undefined : format(limit);
}

function toUsage({ userMs, systemMs, maxRssBytes }: NonNullable<JobDetails["usage"]>): string {
  const memory = maxRssBytes === undefined ? "" : `, ${formatSize(maxRssBytes)} of memory`;
  return `${formatDuration(userMs)} user, ${formatDuration(systemMs)} system${memory}`;
}
