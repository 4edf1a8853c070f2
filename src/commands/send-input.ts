import * as v from "valibot";
import { count } from "../lib/count.ts";
import { JobRef, WriterId } from "../protocol/id.ts";
import { JobName } from "../protocol/job.ts";
import { MAX_SEND_BYTES } from "../protocol/limits.ts";
import { toBytes } from "../protocol/path.ts";
import { ByteString } from "../protocol/value.ts";
import { defineForeground } from "./define.ts";

const NEWLINE = new Uint8Array([0x0a]);

export const sendInput = defineForeground({
  name: "send-input",
  summary: "Give a running job input: exactly these bytes",
  permission: "exec",
  // With a writer that the caller made it may be repeated, unless it ends the input.
  idempotent: false,
  input: v.object({
    job: JobRef,
    /** What it gets, in one piece: nothing of another writer's comes between. */
    text: v.optional(
      v.pipe(
        ByteString,
        v.check((text) => toBytes(text).length <= MAX_SEND_BYTES, `has more than ${MAX_SEND_BYTES} bytes`),
        v.check((text) => typeof text !== "string" || text.isWellFormed(), "must be well-formed Unicode"),
      ),
      "",
    ),
    /** Add a newline, whether there is one or not. */
    newline: v.optional(v.boolean(), false),
    /** End the input behind it, for every writer. */
    eof: v.optional(v.boolean(), false),
    /** Names a stream of input, at whose `offset` this begins: what was sent before is not taken twice. */
    writer: v.optional(WriterId),
    offset: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0),
  }),
  positional: ["job", "text"],
  confidential: ["text"],
  /** The job, whose keeper holds so many bytes more. */
  result: v.object({ ...JobName.entries, bytes: v.number() }),

  async run({ job, text, newline, eof, writer, offset }, { jobs, signal }) {
    const bytes = newline ? concat(toBytes(text), NEWLINE) : toBytes(text);
    return { ...(await jobs.send(job, { writer, offset, bytes, end: eof }, signal)), bytes: bytes.length };
  },

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
      text: {
        type: "positional",
        description: "What it gets, as it is (default: what stdin gives, to its end)",
      },
      newline: { type: "boolean", alias: "n", description: "Add a newline" },
      eof: { type: "boolean", description: "End the job's input behind it" },
    },
    examples: [
      ["farhand send-input 3 -n yes", "a line"],
      ["farhand send-input 3 'no newline'", "exactly these bytes"],
      ["farhand send-input 3 < answers.bin", "what stdin gives, to its end"],
      ["farhand send-input 3 '' --eof", "nothing, and the end of its input"],
    ],
    toInput(values) {
      const text = values.text("text");
      return {
        job: values.text("job") ?? "",
        ...(text !== undefined && { text }),
        newline: values.flag("newline"),
        eof: values.flag("eof"),
      };
    },
    show: ({ number, bytes }) => `Job ${number} has got ${count(bytes, "byte")}`,
  },
});

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
