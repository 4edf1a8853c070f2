import { escapeBytes } from "../../lib/escape.ts";
import { refusal } from "./failure.ts";
import { Folder } from "./folder.ts";

/** Directories that are never removed, as `Folder.identify` names them, each with why. */
export type Kept = ReadonlyMap<string, string>;

/** The root, a workspace's directory, and all that this is in, by whatever names and mounts they are reached. */
export async function findKept(directory: Buffer): Promise<Kept> {
  const kept = new Map<string, string>();
  let folder = await Folder.open(directory).catch(() => undefined); // one that is gone is in nothing
  while (folder !== undefined) {
    const id = await folder.identify();
    const why =
      kept.size === 0 ? "it is the workspace's own directory" : "the workspace's own directory is in it";
    const isRoot = kept.has(id);
    if (!isRoot) kept.set(id, why);
    await using left = folder;
    folder = isRoot ? undefined : await left.leave().catch(() => undefined);
  }
  await using root = await Folder.open(Buffer.from("/"));
  return kept.set(await root.identify(), "it is the root of all files");
}

/** Throws if the directory is one of those. */
export function checkKept(kept: Kept, id: string, path: Uint8Array): void {
  const why = kept.get(id);
  if (why !== undefined) throw refusal("EBUSY", `Cannot remove "${escapeBytes(path)}": ${why} (EBUSY)`, path);
}
