import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import { fromBytes, toBytes } from "../../protocol/path.ts";
import type { ByteString } from "../../protocol/value.ts";
import type { WorkspaceName } from "../../protocol/workspace.ts";
import type { Confinement } from "../files/confinement.ts";
import { describeCode, refusal } from "../files/failure.ts";
import { OutsideError } from "../files/outside.ts";
import { attempt } from "../files/room.ts";
import { findDirectory, findFault, joinPath } from "./directory.ts";
import type { Shelf } from "./shelf.ts";
import { withDirectory, withVariables } from "./workspace.ts";

/** Where a workspace's directory may be: undefined for everywhere. */
export interface Bounds {
  readonly home: Uint8Array;
  readonly confinement: Confinement | undefined;
}

/** What a call does with its workspace. It is looked up each time, since others may change it meanwhile. */
export function toAccess(name: WorkspaceName, shelf: Shelf, { home, confinement }: Bounds): WorkspaceAccess {
  const use = () => shelf.use(name);
  const enter = async (path: Uint8Array): Promise<ByteString> => {
    const { cwd: directory } = use();
    const found = await attempt({ directory, confinement }, "change to", path, () =>
      findDirectory(joinPath(directory, path), confinement),
    );
    const changed = await shelf.change(name, (current) => withDirectory(current, found));
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
    checkDirectory: () => checkDirectory(name, use().cwd, confinement),
    enter: (path) => enter(path === undefined ? home : toBytes(path)),
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
async function checkDirectory(
  name: WorkspaceName,
  cwd: Uint8Array,
  confinement: Confinement | undefined,
): Promise<void> {
  const what = `directory "${escapeBytes(cwd)}" of workspace "${name}"`;
  const code = await findFault(cwd, confinement).catch(async (error: unknown) => {
    if (!(error instanceof OutsideError)) throw error;
    const remedy = (await confinement?.leavesOut(cwd)) ? "; choose another with farhand cd" : "";
    throw new AppError("forbidden", `Cannot use ${what}: it ${error.fault}${remedy}`);
  });
  if (code === undefined) return;
  throw refusal(code, `Cannot use ${what}: ${describeCode(code)}; choose another with farhand cd`, cwd);
}

/** Bun starts programs in directories whose names are text. */
function toText(path: Buffer): string {
  const text = fromBytes(path);
  if (typeof text === "string") return text;
  const why = "its name is no UTF-8; choose another with farhand cd, or for this once with --cwd";
  throw new AppError("invalid_input", `Cannot start in directory "${escapeBytes(path)}": ${why}`);
}
