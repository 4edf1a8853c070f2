import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import { fromBytes, toBytes } from "../../protocol/path.ts";
import type { ByteString } from "../../protocol/value.ts";
import type { WorkspaceName } from "../../protocol/workspace.ts";
import { describeCode, refusal } from "../files/failure.ts";
import { type Directories, joinPath } from "./directory.ts";
import type { Shelf } from "./shelf.ts";
import { type Ground, toWorkspaceOn, withDirectory, withVariables, type Workspace } from "./workspace.ts";

/** Whose a workspace is made on and looked at as. */
export interface Footing {
  readonly ground: Ground;
  readonly directories: Directories;
}

/** What a call does with its workspace. It is looked up each time, since others may change it meanwhile. */
export function toAccess(
  name: WorkspaceName,
  shelf: Pick<Shelf, "use" | "change">,
  { ground, directories }: Footing,
): WorkspaceAccess {
  const use = () => toWorkspaceOn(shelf.use(name), ground);
  const enter = async (path: Uint8Array): Promise<ByteString> => {
    const found = await directories.find(use(), path);
    const changed = await shelf.change(name, (current) =>
      withDirectory(toWorkspaceOn(current, ground), found),
    );
    return fromBytes(changed.cwd);
  };
  return {
    name,
    get cwd() {
      return fromBytes(use().cwd);
    },
    get environment() {
      return use().environment;
    },
    get changed() {
      const { set, unset } = use().contents;
      return { set: Object.keys(set), unset };
    },
    resolve: (path) => toText(joinPath(use().cwd, Buffer.from(path))),
    checkDirectory: () => checkDirectory(use(), directories),
    enter: (path) => enter(path === undefined ? ground.home : toBytes(path)),
    async goBack() {
      const { previous } = use().contents;
      if (previous !== undefined) return await enter(toBytes(previous));
      throw new AppError("invalid_input", `Cannot go back: workspace "${name}" was nowhere else before`);
    },
    async change(change) {
      await shelf.change(name, (current) => withVariables(current, change));
    },
  };
}

/** Throws `os_error` for a directory that is there no more, `forbidden` for one that the caller may not use. */
async function checkDirectory(workspace: Workspace, directories: Directories): Promise<void> {
  const code = await directories.findFault(workspace);
  if (code === undefined) return;
  const { id, cwd } = workspace;
  const what = `directory "${escapeBytes(cwd)}" of workspace "${id.name}"`;
  throw refusal(code, `Cannot use ${what}: ${describeCode(code)}; choose another with farhand cd`, cwd);
}

/** Bun starts programs in directories whose names are text. */
function toText(path: Buffer): string {
  const text = fromBytes(path);
  if (typeof text === "string") return text;
  const why = "its name is no UTF-8; choose another with farhand cd, or for this once with --cwd";
  throw new AppError("invalid_input", `Cannot start in directory "${escapeBytes(path)}": ${why}`);
}
