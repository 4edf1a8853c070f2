import * as v from "valibot";
import { abortable, delay } from "../lib/abort.ts";
import { count } from "../lib/count.ts";
import { JobRef } from "../protocol/id.ts";
import { Ended, JobSummary } from "../protocol/job.ts";
import { DEFAULT_GRACE, MAX_GRACE } from "../protocol/limits.ts";
import { defineForeground } from "./define.ts";
import { describeOutcome } from "./describe.ts";
import { parseGrace } from "./terms.ts";

/** Milliseconds for which the answer waits for the exit to be recorded once everything should have ended. */
const PATIENCE = 2_000;

export const kill = defineForeground({
  name: "kill",
  summary: "End a job with all that came of it, or send it a signal",
  permission: "exec",
  idempotent: false,
  input: v.object({
    job: JobRef,
    /** Alone it is only sent. With `grace`, or without a signal (TERM), the job is ended and its outcome is `cancelled`. */
    signal: v.optional(v.pipe(v.string(), v.maxLength(32))),
    /** Milliseconds from the signal to KILL. */
    grace: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE))),
  }),
  positional: ["job"],
  /** `ended`: what became of its processes; absent when only a signal was sent. */
  result: v.object({ ...JobSummary.entries, ended: v.optional(Ended) }),

  async run({ job, signal: name, grace }, { jobs, signal }) {
    if (name !== undefined && grace === undefined) {
      await jobs.signal(job, name);
      return await jobs.get(job);
    }
    const patience = grace ?? DEFAULT_GRACE;
    const ended = await jobs.cancel(job, name ?? "TERM", patience);
    using settled = stopOnDispose(signal);
    const exited = jobs.wait(job, settled.signal);
    // Those that are gone need no grace. A keeper of an older version answers before they are.
    const longest = ended === undefined ? patience + PATIENCE : PATIENCE;
    const late = delay(longest, settled.signal).then(() => jobs.get(job));
    const summary = await abortable(Promise.race([exited, late]), signal); // awaited: `settled` must live until then
    return { ...summary, ...(ended && { ended }) };
  },

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
      signal: {
        type: "string",
        alias: "s",
        valueHint: "name",
        description: "Send this signal only (TERM, INT, RTMIN+3, 9, …)",
      },
      grace: {
        type: "string",
        valueHint: "duration",
        description: "Time from the signal to KILL (default 5s, at most 1h)",
      },
    },
    examples: [
      ["farhand kill 3", "TERM to all its processes, KILL after 5 s"],
      ["farhand kill --signal HUP 3", "only send HUP"],
      ["farhand kill --grace 30s @last", "give it half a minute"],
    ],
    toInput(values) {
      const signal = values.text("signal");
      const grace = values.text("grace");
      return {
        job: values.text("job") ?? "",
        ...(signal !== undefined && { signal }),
        ...(grace !== undefined && { grace: parseGrace(grace) }),
      };
    },
    show: ({ number, outcome, ended }) => {
      const standing = outcome
        ? describeOutcome(outcome)
        : ended
          ? "still running"
          : "signal sent, still running";
      const what = ended && describeEnded(ended);
      return `Job ${number}: ${standing}${what ? `; ${what}` : ""}`;
    },
  },
});

/** What became of the processes of a job that was ended. */
function describeEnded({ signal, processes, killed, leftBehind = [] }: Ended): string {
  const how =
    killed === 0 ? signal : killed === processes ? "SIGKILL" : `${signal}, ${killed} of them by SIGKILL`;
  const gone = processes === 0 ? [] : [`${count(processes, "process", "processes")} ended by ${how}`];
  const left =
    leftBehind.length === 0 ? [] : [`left behind: ${leftBehind.map(({ pid }) => `pid ${pid}`).join(", ")}`];
  return [...gone, ...left].join("; ");
}

/** A signal for work that must not outlive the block that holds it. */
function stopOnDispose(outer: AbortSignal): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  return {
    signal: AbortSignal.any([outer, controller.signal]),
    [Symbol.dispose]: () => controller.abort(),
  };
}
