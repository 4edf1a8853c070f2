import type { Guard } from "./guard.ts";
import { Folder } from "./folder.ts";
import { paths } from "./path.ts";
import { OutsideError } from "./outside.ts";
import { MAX_LINKS, Place, readLink, systemError } from "./place.ts";
import { climb, type Root } from "./roots.ts";
import { beginsWith, endsAsDirectory, isAbove, isHere, type Steps, toPath, toSteps } from "./steps.ts";

/** What somebody may use. */
export interface Bounds {
  readonly roots: readonly Root[];
  readonly guard: Guard;
  /** Says why he may not go elsewhere. */
  readonly outside: () => OutsideError;
}

const HERE = Buffer.from(".");

/**
 * The way along a path, step by step from one directory that is held open to the next, so that nothing which somebody puts in
 * another's place meanwhile leads out of the roots. Links are read here, and never followed by the system. Above the roots
 * nothing is looked at: there the names alone tell whether a root may still come.
 */
export class Way implements AsyncDisposable {
  readonly #bounds: Bounds;
  /** Where it is, undefined above all roots. */
  #held: { readonly folder: Folder; readonly root: Root } | undefined;
  /** The path of that, without links. */
  #steps: Steps = [];

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /** Of the directory that the way led to: what was held need not be there any more. */
  get path(): Buffer {
    return toPath(this.#steps);
  }

  /** The place at the end of an absolute path, and of the links there if `toEnd`. Throws `OutsideError`. */
  async follow(path: Buffer, toEnd: boolean): Promise<Place> {
    const ahead = toSteps(path);
    let isDirectory = endsAsDirectory(path);
    for (let links = 0; ;) {
      if (this.#held === undefined) {
        await this.#approach(ahead);
        continue;
      }
      const { folder } = this.#held;
      const name = ahead.shift();
      if (name === undefined) return this.#arrive(HERE, isDirectory);
      if (isHere(name)) continue;
      if (isAbove(name)) {
        await this.#climb();
        continue;
      }
      const isLast = ahead.length === 0;
      const target = isLast && !toEnd ? undefined : await readLink(new Place(folder, name));
      if (target !== undefined) {
        if (++links > MAX_LINKS) throw systemError("ELOOP");
        isDirectory ||= isLast && endsAsDirectory(target);
        await this.#turn(target, ahead);
      } else if (isLast) return this.#arrive(name, isDirectory);
      else await this.#enter(name);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held?.folder[Symbol.asyncDispose]();
    this.#held = undefined;
  }

  /** Goes on by a name alone, or into a root as soon as that is what the names say: the innermost there is. */
  async #approach(ahead: Buffer[]): Promise<void> {
    const written = [...this.#steps, ...ahead];
    const found = this.#findRoot(written);
    if (found !== undefined) {
      ahead.splice(0, ahead.length, ...written.slice(found.length));
      return await this.#begin(found.root);
    }
    const name = ahead.shift();
    if (name === undefined) throw this.#bounds.outside();
    this.#steps = isAbove(name) ? this.#above : [...this.#steps, name];
    const isOnWay = this.#spellings.some(({ spelling }) => beginsWith(spelling, this.#steps));
    if (!isOnWay) throw this.#bounds.outside();
  }

  #findRoot(written: Steps) {
    return this.#spellings
      .filter(({ spelling }) => beginsWith(written, spelling))
      .map(({ root, spelling }) => ({ root, length: spelling.length }))
      .reduce<{ readonly root: Root; readonly length: number } | undefined>(
        (best, one) => (best === undefined || one.length > best.length ? one : best),
        undefined,
      );
  }

  get #spellings() {
    return this.#bounds.roots.flatMap((root) => root.spellings.map((spelling) => ({ root, spelling })));
  }

  /** Of the first directory that is itself. */
  get #above(): Steps {
    return this.#steps.slice(0, Math.max(1, this.#steps.length - 1));
  }

  async #begin(root: Root): Promise<void> {
    const { guard, outside } = this.#bounds;
    // It was there a moment ago, and whatever is wrong with it by now is no business of who asks.
    const folder = await Folder.openReal(toPath(root.steps), guard.within(root.found)).catch(() => {
      throw outside();
    });
    this.#held = { folder, root };
    this.#steps = root.steps;
  }

  async #enter(name: Buffer): Promise<void> {
    if (this.#held === undefined) return;
    const { folder, root } = this.#held;
    this.#held = { folder: await folder.enter(name), root };
    this.#steps = [...this.#steps, name];
    await folder[Symbol.asyncDispose]();
  }

  /** Goes up, unless that is out of the root: somebody may have moved what is held. */
  async #climb(): Promise<void> {
    if (this.#held === undefined) return;
    const { folder, root } = this.#held;
    const isTop = this.#steps.length === root.steps.length;
    if (isTop && this.#steps.length === 1) return;
    this.#steps = this.#above;
    if (isTop) return await this[Symbol.asyncDispose]();
    this.#held = { folder: await folder.leave(), root };
    await folder[Symbol.asyncDispose]();
    const { dev, ino } = root.found;
    const isInside = await climb(this.#held.folder, (found) => found.dev === dev && found.ino === ino);
    if (!isInside) throw this.#bounds.outside();
  }

  /** Goes on where a link leads. */
  async #turn(target: Buffer, ahead: Buffer[]): Promise<void> {
    const steps = toSteps(target);
    ahead.unshift(...steps);
    if (paths.split(target).root.length === 0) return;
    await this[Symbol.asyncDispose]();
    this.#steps = [];
  }

  #arrive(name: Buffer, isDirectory: boolean): Place {
    const folder = this.#held?.folder;
    if (folder === undefined) throw this.#bounds.outside();
    this.#held = undefined;
    return new Place(folder, name, isDirectory);
  }
}
