import * as v from "valibot";
import { FileName, toFileName } from "../protocol/path.ts";
import { defineStream } from "./define.ts";
import { forEach } from "./each.ts";
import { FilePaths, pathArgs, showName, toPaths } from "./paths.ts";

export const touch = defineStream({
  name: "touch",
  summary: "Set the times of files to now, and make those that are missing",
  permission: "write",
  idempotent: true,
  asUser: true,
  input: v.object({ paths: v.pipe(FilePaths, v.minLength(1, "names no path")) }),
  positional: ["paths"],
  event: v.object({ ...FileName.entries, created: v.boolean() }),
  result: v.object({ touched: v.number() }),

  async *run({ paths }, { files, signal }) {
    let touched = 0;
    const act = async (path: Uint8Array) => {
      const created = await files.touch(path);
      touched++;
      return { ...toFileName(path), created };
    };
    yield* forEach({ action: "touch", paths, signal, act });
    return { touched };
  },

  cli: {
    args: pathArgs,
    rest: "PATH ...",
    examples: [
      ["farhand touch done", "an empty file, or one with the time of now"],
      ["farhand touch a b", "two of them"],
    ],
    toInput: (values) => ({ paths: toPaths(values) }),
    show: ({ created, ...name }) => `Touched ${showName(name)}${created ? " (new)" : ""}`,
  },
});
