import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { count } from "../lib/count.ts";
import { DEFAULT_GRACE, MAX_GRACE } from "../protocol/limits.ts";
import { AppError } from "../protocol/error.ts";
import { defineForeground } from "./define.ts";
import { parseGrace } from "./terms.ts";

export const closeServer = defineForeground({
  name: "close-server",
  summary: "Stop the server; its jobs go on unless they are to end first",
  permission: "control",
  idempotent: false,
  input: v.object({
    /** End every running job first: by TERM, and `grace` ms later KILL. */
    jobs: v.optional(
      v.object({ grace: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE)) }),
    ),
  }),
  /** How many jobs ended, and which did not. */
  result: v.object({
    ended: v.number(),
    left: v.array(v.object({ job: v.string(), number: v.number(), reason: v.string() })),
  }),

  async run({ jobs }, { server }) {
    const { ended, left } = await server.close(jobs);
    return { ended, left: [...left] };
  },

  cli: {
    args: {
      jobs: { type: "boolean", description: "End running jobs first" },
      grace: {
        type: "string",
        valueHint: "duration",
        description: "With --jobs: time from TERM to KILL (default 5s, at most 1h)",
      },
    },
    examples: [
      ["farhand -H web1 close-server", "its jobs go on, and the next start finds them"],
      ["farhand -H web1 close-server --jobs --grace 30s", "end them first"],
    ],
    toInput(values) {
      const grace = values.text("grace");
      if (values.flag("jobs"))
        return { jobs: { grace: grace === undefined ? DEFAULT_GRACE : parseGrace(grace) } };
      if (grace === undefined) return {};
      throw new AppError("invalid_input", "Cannot use --grace without --jobs: no job is ended then");
    },
    show: ({ ended, left }) =>
      [
        ...left.map(({ number, reason }) => `Job ${number} has not ended: ${escapeControls(reason)}`),
        `The server stops${ended > 0 ? `; ${count(ended, "job")} ended` : ""}`,
      ].join("\n"),
    toExitCode: ({ left }) => (left.length === 0 ? 0 : 1),
  },
});
