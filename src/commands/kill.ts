import * as v from "valibot";
import { abortable, delay } from "../lib/abort.ts";
import { JobSummary } from "../protocol/job.ts";
import { DEFAULT_GRACE, MAX_GRACE } from "../protocol/limits.ts";
import { defineForeground } from "./define.ts";
import { describeOutcome } from "./describe.ts";
import { parseGrace } from "./terms.ts";

/** Milliseconds after KILL for which the answer waits for the exit to be recorded. */
const PATIENCE = 2_000;

export const kill = defineForeground({
  name: "kill",
  summary: "End a job and its whole process group, or send it a signal",
  permission: "exec",
  idempotent: false,
  input: v.object({
    job: v.string(),
    /** Alone it is only sent. With `grace`, or without a signal (TERM), the job is ended and its outcome is `cancelled`. */
    signal: v.optional(v.pipe(v.string(), v.maxLength(32))),
    /** Milliseconds from the signal to KILL. */
    grace: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE))),
  }),
  result: JobSummary,

  async run({ job, signal: name, grace }, { jobs, signal }) {
    if (name !== undefined && grace === undefined) {
      await jobs.signal(job, name);
      return await jobs.get(job);
    }
    const patience = grace ?? DEFAULT_GRACE;
    await jobs.cancel(job, name ?? "TERM", patience);
    using settled = stopOnDispose(signal);
    const ended = jobs.wait(job, settled.signal);
    const late = delay(patience + PATIENCE, settled.signal).then(() => jobs.get(job));
    return await abortable(Promise.race([ended, late]), signal); // awaited: `settled` must live until then
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
      ["farhand kill 3", "TERM to the group, KILL after 5 s"],
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
    show: ({ number, outcome }) =>
      `Job ${number}: ${outcome ? describeOutcome(outcome) : "signal sent, still running"}`,
  },
});

/** A signal for work that must not outlive the block that holds it. */
function stopOnDispose(outer: AbortSignal): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  return {
    signal: AbortSignal.any([outer, controller.signal]),
    [Symbol.dispose]: () => controller.abort(),
  };
}
