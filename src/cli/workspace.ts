import { cd as cdCommand } from "../commands/cd.ts";
import { cwd as cwdCommand } from "../commands/cwd.ts";
import { workspaceList } from "../commands/workspace-list.ts";
import { workspaceRemove } from "../commands/workspace-remove.ts";
import { toCall } from "./call.ts";
import type { Group } from "./verb.ts";

/** The verbs of a workspace's directory. */
export const cd = toCall(cdCommand);
export const cwd = toCall(cwdCommand);

const verbs = { list: toCall(workspaceList), remove: toCall(workspaceRemove) };

/** What can be done with workspaces as a whole. */
export const workspace: Group = {
  summary: "List workspaces, or remove some",
  verbs: {
    list: async () => verbs.list,
    remove: async () => verbs.remove,
  },
  examples: [
    ["farhand workspace list", "all of yours, with their directories"],
    ["farhand workspace remove build", "forget one"],
  ],
};
