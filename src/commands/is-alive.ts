import * as v from "valibot";
import { JobRef } from "../protocol/id.ts";
import { defineForeground } from "./define.ts";

export const isAlive = defineForeground({
  name: "is-alive",
  summary: "Tell whether a job runs, and exit 0 if it does and 1 if it has ended",
  permission: "read",
  idempotent: true,
  input: v.object({ job: JobRef }),
  positional: ["job"],
  /** Of a lost job: whether processes of it are left. */
  result: v.boolean(),

  async run({ job }, { jobs }) {
    const { outcome, processes = [] } = await jobs.get(job);
    return outcome === undefined || processes.length > 0;
  },

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
    },
    examples: [
      ["farhand is-alive 3", "true or false"],
      ["while farhand is-alive @last >/dev/null; do sleep 1; done", "125: there is no such job"],
    ],
    toInput: (values) => ({ job: values.text("job") ?? "" }),
    show: String,
    toExitCode: (isAlive) => (isAlive ? 0 : 1),
  },
});
