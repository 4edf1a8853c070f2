import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import type { FileStatus } from "../protocol/file.ts";
import { FilePath, toBytes } from "../protocol/path.ts";
import type { OpenFile } from "./access/reading.ts";
import { defineStream } from "./define.ts";
import { toCount } from "./numbers.ts";
import { pathArgs, showPath, toPathsOf } from "./paths.ts";
import { findTail, readSpan, type Span } from "./span.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const rdfile = defineStream({
  name: "rdfile",
  summary: "Write what a file holds to stdout, byte for byte",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({
    path: FilePath,
    /** The first byte wanted. */
    offset: v.optional(count, 0),
    /** Bytes at most. */
    limit: v.optional(count),
    /** Only the last so many lines, within what else is asked for. */
    tail: v.optional(count),
  }),
  positional: ["path"],
  event: v.never(),
  result: v.object({
    /** Bytes of the file when it was opened. */
    size: count,
    /** The first that was sent, and how many were. */
    offset: count,
    bytes: count,
    /** It was written to meanwhile: what was sent may hold some of before and some of after. */
    changed: v.boolean(),
  }),

  async *run({ path, offset, limit, tail }, { files, signal }) {
    await using file = await files.open(toBytes(path));
    const span = toSpan(file, offset, limit);
    const { start, end } = tail === undefined ? span : await findTail(file, span, { lines: tail, signal });
    let position = start;
    for await (const chunk of readSpan(file, { start, end }, signal)) {
      position += chunk.length;
      yield chunk;
    }
    const status = await file.inspect();
    if (position < Math.min(end, file.status.size) && status.size < file.status.size)
      throw shrunk(path, file.status, status);
    const changed = status.size !== file.status.size || status.modifiedAt !== file.status.modifiedAt;
    return { size: file.status.size, offset: start, bytes: position - start, changed };
  },

  cli: {
    args: {
      offset: { type: "string", valueHint: "n", description: "Begin at this byte (default 0)" },
      limit: { type: "string", alias: "c", valueHint: "n", description: "At most so many bytes" },
      tail: { type: "string", alias: "n", valueHint: "lines", description: "Only the last so many lines" },
      ...pathArgs,
    },
    rest: "PATH",
    examples: [
      ["farhand rdfile /etc/hosts", "all of it"],
      ["farhand rdfile --tail 20 /var/log/syslog", "its last lines"],
      ["farhand rdfile --offset 512 --limit 64 disk.img | xxd", "a piece of it"],
      ["farhand rdfile image.png > image.png", "exactly its bytes"],
    ],
    toInput(values) {
      const [path = ""] = toPathsOf(values, ["PATH"]);
      const [offset, limit, tail] = ["offset", "limit", "tail"].map((option) => toCount(values, option));
      return {
        path,
        ...(offset !== undefined && { offset }),
        ...(limit !== undefined && { limit }),
        ...(tail !== undefined && { tail }),
      };
    },
    show: () => "",
    conclude: ({ changed }) => (changed ? "The file was changed while it was read" : undefined),
  },
});

/** What is wanted of a file that says how long it is; of one that does not, as in /proc, it ends where reading does. */
function toSpan({ status }: OpenFile, offset: number, limit = Number.MAX_SAFE_INTEGER): Span {
  const size = status.size === 0 ? Number.MAX_SAFE_INTEGER : status.size;
  return { start: offset, end: Math.min(size, offset + limit) };
}

/** Less than was there is no success: what came may end anywhere. */
function shrunk(path: FilePath, before: FileStatus, after: FileStatus): AppError {
  const what = `it shrank from ${before.size} to ${after.size} bytes meanwhile`;
  return new AppError("incomplete_output", `Cannot read all of "${showPath(path)}": ${what}`);
}
