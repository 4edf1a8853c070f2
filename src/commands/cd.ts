import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { FilePath } from "../protocol/path.ts";
import { toWorkingDirectory, WorkingDirectory } from "../protocol/workspace.ts";
import { showDirectory } from "./cwd.ts";
import { defineForeground } from "./define.ts";
import { pathArgs, toPaths } from "./paths.ts";

/** As shells have it: where it was before. A directory of that name is `./-`. */
const BACK = "-";

export const cd = defineForeground({
  name: "cd",
  summary: "Change the workspace's directory, and tell the new one",
  permission: "write",
  idempotent: false,
  input: v.object({
    /** Without one, the home; `-` is the directory before. */
    path: v.optional(FilePath),
  }),
  positional: ["path"],
  result: WorkingDirectory,

  async run({ path }, { workspace }) {
    return toWorkingDirectory(await (path === BACK ? workspace.goBack() : workspace.enter(path)));
  },

  cli: {
    args: pathArgs,
    rest: "[DIRECTORY]",
    examples: [
      ["farhand cd /srv/app", "where everything that follows is done, until the next cd"],
      ["farhand cd", "to the home of the server's user"],
      ["farhand cd -", "to the directory before"],
      ["farhand -w build cd src", "in another workspace, made by this if there is none"],
    ],
    toInput(values) {
      const [path, ...others] = toPaths(values);
      if (others.length > 0) throw new AppError("invalid_input", "Cannot change to several directories");
      return path === undefined ? {} : { path };
    },
    show: showDirectory,
  },
});
