import * as v from "valibot";
import { count } from "../lib/count.ts";
import { AppError } from "../protocol/error.ts";
import { FileName, toFileName } from "../protocol/path.ts";
import { defineStream } from "./define.ts";
import { forEach } from "./each.ts";
import { FilePaths, pathArgs, showName, toPaths } from "./paths.ts";

export const rm = defineStream({
  name: "rm",
  summary: "Remove files, links and directories",
  permission: "write",
  idempotent: false,
  asUser: true,
  input: v.object({
    paths: v.pipe(FilePaths, v.minLength(1, "names no path")),
    /** A directory with all that is in it. Without, only one that is empty is removed. */
    recursive: v.optional(v.boolean(), false),
    /** What is not there is no failure. */
    force: v.optional(v.boolean(), false),
  }),
  positional: ["paths"],
  /** A path that was removed, with so many files and directories. */
  event: v.object({ ...FileName.entries, entries: v.number() }),
  result: v.object({ removed: v.number() }),

  async *run({ paths, recursive, force }, { files, signal }) {
    let removed = 0;
    const act = async (path: Uint8Array) => {
      try {
        const entries = await files.remove(path, { recursive }, signal);
        removed += entries;
        return { ...toFileName(path), entries };
      } catch (error) {
        if (force && isMissing(error)) return undefined;
        throw error;
      }
    };
    yield* forEach({ action: "remove", paths, signal, act });
    return { removed };
  },

  cli: {
    args: {
      recursive: { type: "boolean", alias: "r", description: "A directory with all that is in it" },
      force: { type: "boolean", alias: "f", description: "What is not there is no failure" },
      ...pathArgs,
    },
    rest: "PATH ...",
    examples: [
      ["farhand rm old.log", "a file; of a link the link, not what it leads to"],
      ["farhand rm -r build", "a directory with all that is in it"],
      ["farhand rm -- -odd", "a name that begins with a dash"],
    ],
    toInput: (values) => ({
      paths: toPaths(values),
      recursive: values.flag("recursive"),
      force: values.flag("force"),
    }),
    show: ({ entries, ...name }) =>
      `Removed ${showName(name)}${entries > 1 ? ` with ${count(entries - 1, "entry", "entries")} in it` : ""}`,
  },
});

/** Only one that is itself missing: what is missing on the way to it is not there either. */
function isMissing(error: unknown): boolean {
  return error instanceof AppError && error.code === "os_error" && error.details?.["os"] === "ENOENT";
}
