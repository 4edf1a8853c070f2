import { lstat, rmdir, unlink } from "node:fs/promises";
import { toFailure, toSystemCode } from "./failure.ts";
import type { Folder } from "./folder.ts";
import { checkKept } from "./kept.ts";
import { paths } from "./path.ts";
import { isMissing, Place } from "./place.ts";
import { Trail } from "./trail.ts";

/** Names that are removed at once. */
const BATCH = 64;

/** Failures that are kept, of any number. */
const MAX_FAILURES = 20;

/** A directory that is being emptied. */
interface Step {
  readonly name: Buffer;
  /** As a caller would write it. */
  readonly path: Uint8Array;
  /** Directories in it that are not removed yet. */
  readonly left: Buffer[];
  /** Something in it stays. */
  isBlocked: boolean;
}

export interface RemovalOptions {
  readonly signal: AbortSignal;
  /** Directories that are never removed, as `Folder.identify` names them, each with why. */
  readonly kept: ReadonlyMap<string, string>;
}

/**
 * Removes trees. A link in one is removed, and never followed, whatever somebody puts in whose place meanwhile. What cannot be
 * removed stays, and everything else goes.
 */
export class Removal {
  readonly #options: RemovalOptions;
  /** The first of them. */
  readonly failures: unknown[] = [];
  removed = 0;
  /** Files and directories that are left. */
  left = 0;

  constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** `path`: of the place, as a caller would write it. */
  async remove(place: Place, path: Uint8Array): Promise<void> {
    if (!(await this.#removeName(place.folder, place.name))) await this.#removeTree(place, path);
  }

  async #removeTree(place: Place, path: Uint8Array): Promise<void> {
    await using trail = new Trail(place.folder);
    const steps: Step[] = [];
    await this.#descend(trail, steps, place.name, path);
    for (let step = steps.at(-1); step !== undefined; step = steps.at(-1)) {
      this.#options.signal.throwIfAborted();
      const next = step.left.pop();
      if (next !== undefined) await this.#descend(trail, steps, next, paths.join(step.path, next));
      else await this.#ascend(trail, steps);
    }
  }

  /** Goes into a directory, and removes all in it that is none. */
  async #descend(trail: Trail, steps: Step[], name: Buffer, path: Uint8Array): Promise<void> {
    try {
      await trail.descend(name);
    } catch (error) {
      const isGone = toSystemCode(error) === "ENOTDIR" && (await this.#removeName(trail.top, name));
      if (!isGone) this.#fail(steps, path, error);
      return;
    }
    const step: Step = { name, path, left: [], isBlocked: false };
    steps.push(step);
    try {
      checkKept(this.#options.kept, await trail.top.identify(), path);
      await this.#empty(trail.top, step, steps);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      step.isBlocked = true; // and counted where it is left
      step.left.length = 0;
      this.#tell(path, error);
    }
  }

  async #empty(folder: Folder, step: Step, steps: Step[]): Promise<void> {
    const names = await folder.names();
    for (let start = 0; start < names.length; start += BATCH) {
      this.#options.signal.throwIfAborted();
      const removing = names.slice(start, start + BATCH).map(async (name) => {
        const path = paths.join(step.path, name);
        try {
          if (!(await this.#removeName(folder, name))) step.left.push(name);
        } catch (error) {
          this.#fail(steps, path, error);
        }
      });
      await Promise.all(removing);
    }
  }

  async #ascend(trail: Trail, steps: Step[]): Promise<void> {
    const step = steps.pop();
    if (step === undefined) return;
    await trail.ascend();
    if (step.isBlocked) return this.#block(steps);
    try {
      await rmdir(trail.top.at(step.name));
      this.removed++;
    } catch (error) {
      if (!isMissing(error)) this.#fail(steps, step.path, error);
    }
  }

  /** Removes what is no directory, and answers false for one. */
  async #removeName(folder: Folder, name: Buffer): Promise<boolean> {
    const target = folder.at(name);
    try {
      if (folder.guard !== undefined) await new Place(folder, name).findToChange();
      // Only Linux can be relied on not to unlink a directory for root.
      if (process.platform !== "linux" && (await isDirectory(target))) return false;
      await unlink(target);
      this.removed++;
      return true;
    } catch (error) {
      if (isMissing(error)) return true;
      // Whoever may not remove it from here may be able to empty it.
      if (toSystemCode(error) === "EISDIR" || (await isDirectory(target))) return false;
      throw error;
    }
  }

  #fail(steps: readonly Step[], path: Uint8Array, error: unknown): void {
    this.#tell(path, error);
    this.#block(steps);
  }

  #tell(path: Uint8Array, error: unknown): void {
    if (this.failures.length < MAX_FAILURES) this.failures.push(toFailure("remove", path, error));
  }

  /** Something stays, and so does the directory that it is in. */
  #block(steps: readonly Step[]): void {
    this.left++;
    const above = steps.at(-1);
    if (above !== undefined) above.isBlocked = true;
  }
}

async function isDirectory(path: Buffer): Promise<boolean> {
  return await lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
