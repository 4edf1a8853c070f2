import { openSource } from "../call.ts";
import { openSession } from "../context.ts";
import type { Verb } from "../verb.ts";
import type { Definition } from "./definition.ts";
import { toFace } from "./face.ts";
import { runForeground } from "./foreground.ts";
import { jobArgs, toJobOptions } from "./job-options.ts";

/** A command that only the server knows, as a verb. One that becomes a job is waited for as that of `exec` is. */
export function toVerb(definition: Definition): Verb {
  const { name, summary, kind } = definition;
  const { toInput, toSource, ...face } = toFace(definition);
  if (kind === "foreground")
    return {
      ...face,
      summary,
      async run(values, context) {
        const input = toInput(values);
        const source = await openSource(toSource?.(), context);
        await using session = await openSession(context);
        return await runForeground(session, definition, { input, source }, context);
      },
    };
  const own = Object.keys(face.args);
  return {
    ...face,
    summary,
    args: { ...face.args, ...jobArgs, ...face.args }, // its own stand first
    examples: [...face.examples, [`farhand ${name} -d`, "print the job's id and leave it running"]],
    async run(values, context) {
      const input = toInput(values);
      const options = toJobOptions(values.without(own)); // what its fields are called like is theirs
      await using session = await openSession(context);
      const { runJob } = await import("./job.ts"); // which what answers at once need not pay for
      return await runJob(session, { command: name, input }, options, context);
    },
  };
}
