import * as v from "valibot";
import { WorkspaceSummary } from "../protocol/workspace.ts";
import { showDirectory } from "./cwd.ts";
import { defineForeground } from "./define.ts";
import { align } from "./table.ts";

export const workspaceList = defineForeground({
  name: "workspace-list",
  summary: "List your workspaces, and whether their directories can be used",
  permission: "read",
  idempotent: true,
  input: v.object({}),
  /** The default one first, the others by name; private ones are left out. */
  result: v.object({ workspaces: v.array(WorkspaceSummary) }),

  async run(_input, { workspaces, signal }) {
    return { workspaces: [...(await workspaces.list(signal))] };
  },

  cli: {
    args: {},
    examples: [
      ["farhand workspace list", "all of them"],
      ["farhand workspace list --json | jq -r '.workspaces[].name'", "their names, for a script"],
    ],
    toInput: () => ({}),
    show: ({ workspaces }) =>
      align([["WORKSPACE", "DIRECTORY", "VARIABLES", "USED"], ...workspaces.map(toRow)]).join("\n"),
  },
});

function toRow(workspace: WorkspaceSummary): readonly string[] {
  const { name, fault, set, unset, usedAt } = workspace;
  const directory = showDirectory(workspace);
  const variables = [...(set > 0 ? [`${set} set`] : []), ...(unset > 0 ? [`${unset} unset`] : [])];
  return [
    name,
    fault === undefined ? directory : `${directory} (${describeFault(fault)})`,
    variables.join(", "),
    usedAt ?? "",
  ];
}

function describeFault(fault: string): string {
  return fault === "ENOENT" ? "is gone: ENOENT" : `cannot be used: ${fault}`;
}
