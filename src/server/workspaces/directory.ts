import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { escapeBytes } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import type { Confinement } from "../files/confinement.ts";
import { toSystemCode } from "../files/failure.ts";
import { OutsideError } from "../files/outside.ts";
import { paths } from "../files/path.ts";
import { attempt } from "../files/room.ts";
import type { Workspace } from "./workspace.ts";

/** Who looks at the directories of workspaces: we ourselves, or the user as whom everything in them is done. */
export interface Directories {
  /** The directory that a path leads to from the workspace's, without links in it. Throws `os_error` for what cannot be entered. */
  find(workspace: Workspace, path: Uint8Array): Promise<Uint8Array>;
  /** The system's code for why the workspace's directory cannot be entered, or undefined if it can. */
  findFault(workspace: Workspace): Promise<string | undefined>;
}

/** We ourselves. `confinement`: where they may be, if not everywhere; elsewhere is `forbidden`. */
export function toDirectories(confinement?: Confinement): Directories {
  return {
    find: ({ cwd: directory }, path) =>
      attempt({ directory, confinement }, "change to", path, () =>
        findDirectory(joinPath(directory, path), confinement),
      ),
    findFault: ({ id, cwd }) =>
      findFault(cwd, confinement).catch(async (error: unknown) => {
        if (!(error instanceof OutsideError)) throw error;
        const remedy = (await confinement?.leavesOut(cwd)) ? "; choose another with farhand cd" : "";
        const what = `directory "${escapeBytes(cwd)}" of workspace "${id.name}"`;
        throw new AppError("forbidden", `Cannot use ${what}: it ${error.fault}${remedy}`);
      }),
  };
}

/**
 * The absolute path that one which a caller wrote means in a directory without links. What stands in it behind a name is left
 * to the system, which follows links before it goes up; before that, `..` is known, also where the directory is gone.
 */
export function joinPath(directory: Uint8Array, path: Uint8Array): Buffer {
  const written = paths.resolve(directory, path);
  if (process.platform === "win32") return written; // Windows knows no other `..`
  const { root, names } = paths.split(written);
  const known = written.equals(path) ? 0 : paths.split(directory).names.length;
  const above: Buffer[] = [];
  const below: Buffer[] = [];
  for (const [index, name] of names.entries()) {
    if (isName(name, ".")) continue;
    if (index < known) above.push(name);
    else if (isName(name, "..") && below.length === 0) above.pop();
    else below.push(name);
  }
  return [...above, ...below].reduce((parent, name) => Buffer.from(paths.join(parent, name)), root);
}

/**
 * The directory that a path leads to, without links in it. Throws the system's refusal of what cannot be entered, and
 * `OutsideError` for what a caller may not use.
 */
export async function findDirectory(path: Buffer, confinement?: Confinement): Promise<Buffer> {
  if (confinement !== undefined) return await confinement.check(path);
  const found = await realpath(path, "buffer");
  await checkEntrance(found);
  return found;
}

/** The system's code for why a directory cannot be entered, or undefined if it can. Throws `OutsideError`. */
export async function findFault(
  directory: Uint8Array,
  confinement?: Confinement,
): Promise<string | undefined> {
  try {
    const path = Buffer.from(directory);
    if (confinement === undefined) await checkEntrance(path);
    else await confinement.check(path);
    return undefined;
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    return code;
  }
}

async function checkEntrance(directory: Buffer): Promise<void> {
  if (!(await stat(directory)).isDirectory())
    throw Object.assign(new Error("It is no directory"), { code: "ENOTDIR" });
  await access(directory, constants.X_OK);
}

function isName(name: Buffer, text: string): boolean {
  return name.length === text.length && name.toString() === text;
}
