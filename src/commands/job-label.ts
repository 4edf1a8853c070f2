import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { JobRef } from "../protocol/id.ts";
import { JobSummary } from "../protocol/job.ts";
import { MAX_LABELS } from "../protocol/limits.ts";
import { Labels } from "../protocol/terms.ts";
import { defineForeground } from "./define.ts";
import { toLabels } from "./table.ts";
import { parseLabel } from "./terms.ts";

export const jobLabel = defineForeground({
  name: "job-label",
  summary: "Set labels of a job, or take them away",
  permission: "exec",
  idempotent: true,
  input: v.object({
    job: JobRef,
    set: v.optional(Labels, {}),
    /** Names of labels to take away. */
    unset: v.optional(
      v.pipe(v.array(v.string()), v.maxLength(MAX_LABELS, `has more than ${MAX_LABELS} labels`)),
      [],
    ),
  }),
  positional: ["job"],
  result: JobSummary,

  run: ({ job, set, unset }, { jobs }) => jobs.label(job, set, unset),

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
    },
    rest: "NAME=VALUE|NAME- ...",
    examples: [
      ["farhand job label 3 nightly=yes team=db", "set two"],
      ["farhand job label @last nightly-", "take one away"],
    ],
    toInput({ text, rest }) {
      if (rest.length === 0)
        throw new AppError("invalid_input", "Cannot label a job: write name=value or name-");
      const isUnset = (word: string) => word.endsWith("-") && !word.includes("=");
      const set = Object.fromEntries(rest.filter((word) => !isUnset(word)).map(parseLabel));
      const unset = rest.filter(isUnset).map((word) => word.slice(0, -1));
      const both = unset.find((name) => Object.hasOwn(set, name));
      if (both !== undefined)
        throw new AppError(
          "invalid_input",
          `Cannot both set label "${both}" and take it away: do one of them`,
        );
      return { job: text("job") ?? "", set, unset };
    },
    show: ({ number, labels }) => `Job ${number}: ${toLabels(labels) || "no labels"}`,
  },
});
