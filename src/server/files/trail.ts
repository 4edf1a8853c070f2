import { Folder } from "./folder.ts";
import { systemError } from "./place.ts";

/** Directories of a trail that are open at once: a deeper one lets go of its outermost, and finds them again. */
const MAX_OPEN = 64;

/** The way into a tree, directory by directory, however deep; no link on it is followed. */
export class Trail implements AsyncDisposable {
  /** Not ours to close. */
  readonly #root: Folder;
  readonly #steps: { readonly id: string; folder: Folder | undefined }[] = [];

  constructor(root: Folder) {
    this.#root = root;
  }

  /** Where it has come. */
  get top(): Folder {
    return this.#steps.at(-1)?.folder ?? this.#root;
  }

  /** Goes into a directory. Throws `ENOTDIR` for anything else, links included. */
  async descend(name: Buffer): Promise<void> {
    const folder = await this.top.enter(name);
    this.#steps.push({ id: await folder.identify(), folder });
    const outer = this.#steps.at(-1 - MAX_OPEN);
    await outer?.folder?.[Symbol.asyncDispose]();
    if (outer !== undefined) outer.folder = undefined;
  }

  /** Goes back to the directory before. Throws `ESTALE` if the one that it leaves is not in that any more. */
  async ascend(): Promise<void> {
    const left = this.#steps.pop();
    await using folder = left?.folder;
    const above = this.#steps.at(-1);
    if (above === undefined || above.folder !== undefined || folder === undefined) return;
    const found = await folder.leave();
    if ((await found.identify()) === above.id) above.folder = found;
    else await found[Symbol.asyncDispose]();
    if (above.folder === undefined) throw systemError("ESTALE");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { folder } of this.#steps) await folder?.[Symbol.asyncDispose]();
  }
}
