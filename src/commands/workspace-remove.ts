import * as v from "valibot";
import { count } from "../lib/count.ts";
import { AppError } from "../protocol/error.ts";
import { WorkspaceName } from "../protocol/workspace.ts";
import { defineForeground } from "./define.ts";

/** Workspaces that one call removes at most. */
const MAX_NAMES = 100;

const Names = v.pipe(
  v.array(WorkspaceName),
  v.minLength(1, "has no name"),
  v.maxLength(MAX_NAMES, `has more than ${MAX_NAMES} names`),
);

export const workspaceRemove = defineForeground({
  name: "workspace-remove",
  summary: "Forget workspaces: all of the named ones, or none",
  permission: "write",
  idempotent: false,
  input: v.object({ names: Names }),
  positional: ["names"],
  result: v.object({ removed: v.array(WorkspaceName) }),

  async run({ names }, { workspaces }) {
    const removed = [...new Set(names)];
    await workspaces.remove(removed);
    return { removed };
  },

  cli: {
    args: {},
    rest: "NAME ...",
    examples: [
      ["farhand workspace remove build test", "two; jobs that were started in them go on"],
      ["farhand workspace remove default", "the default one begins at home again, with nothing set"],
    ],
    toInput({ rest }) {
      if (rest.length > 0) return { names: [...rest] };
      throw new AppError("invalid_input", "Cannot remove nothing: name workspaces");
    },
    show: ({ removed }) => `Removed ${count(removed.length, "workspace")}: ${removed.join(", ")}`,
  },
});
