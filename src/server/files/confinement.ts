import { constants } from "node:fs";
import { access, lstat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { escapeBytes } from "../../lib/escape.ts";
import { Folder } from "./folder.ts";
import { Guard } from "./guard.ts";
import type { OwnFiles } from "./marks.ts";
import { OutsideError } from "./outside.ts";
import { paths } from "./path.ts";
import { type Place, systemError } from "./place.ts";
import { findRoots, type Root, type RootLists } from "./roots.ts";
import { beginsWith, isHere, toPath, toSteps } from "./steps.ts";
import { type Bounds, Way } from "./way.ts";

/** Roots that a refusal names. */
const MAX_NAMED = 3;

/** Milliseconds for which what the server lives on is taken for unchanged. */
const FRESH = 1_000;

/** Makes confinements, which all know the server's own files. */
export class Confiner {
  readonly #own: () => OwnFiles;
  #guard: Promise<Guard> | undefined;
  #guardedAt = Number.NEGATIVE_INFINITY;

  constructor(own: () => OwnFiles) {
    this.#own = own;
  }

  /** To what each list holds a directory of; undefined for everywhere, without any bound. */
  confine(lists: RootLists | undefined): Confinement | undefined {
    return lists && new Confinement(lists, () => this.#openGuard());
  }

  #openGuard(): Promise<Guard> {
    if (this.#guard !== undefined && performance.now() < this.#guardedAt + FRESH) return this.#guard;
    this.#guardedAt = performance.now();
    return (this.#guard = Guard.open(this.#own()));
  }
}

/**
 * Keeps one call in the directories that its caller may use. What is opened is judged by where it is, not by how its path is
 * written. Everything throws `OutsideError` for what is elsewhere, whether there is something or not.
 */
export class Confinement {
  readonly #lists: RootLists;
  readonly #openGuard: () => Promise<Guard>;
  #bounds: Promise<Bounds> | undefined;

  constructor(lists: RootLists, openGuard: () => Promise<Guard>) {
    this.#lists = lists;
    this.#openGuard = openGuard;
  }

  /** The roots as they are, outermost or not. */
  async roots(): Promise<readonly Root[]> {
    return (await this.#open()).roots;
  }

  async guard(): Promise<Guard> {
    return (await this.#open()).guard;
  }

  /** The place of an absolute path. */
  async openPlace(path: Buffer): Promise<Place> {
    return await this.#follow(path, false);
  }

  /** The place at the end of the links that begin at a path; nothing need be there. */
  async openEnd(path: Buffer): Promise<Place> {
    return await this.#follow(path, true);
  }

  /** The place at the end of the links that begin at another. */
  async openEndAt({ folder, name }: Place): Promise<Place> {
    return await this.openEnd(paths.join(await folder.locate(), name));
  }

  /** The directory that a path leads to. */
  async openFolder(path: Buffer): Promise<Folder> {
    const place = await this.openEnd(path);
    if (isHere(place.name)) return place.folder;
    await using _left = place.folder;
    return await place.folder.enter(place.name);
  }

  /**
   * Where a directory is that somebody wants to work in: its path without links. Throws `OutsideError`, and what the system
   * refuses of what cannot be entered. Somebody may put a link in the way afterwards; who starts something there must make sure that he is where this says.
   */
  async check(path: Buffer): Promise<Buffer> {
    await using way = new Way(await this.#open());
    // With a dot behind it the path is that of a directory, which the way then is in.
    await using place = await way.follow(Buffer.concat([path, Buffer.from("/.")]), true);
    await access(place.path, constants.X_OK);
    const held = await place.folder.stat();
    const named = await lstat(way.path, { bigint: true }).catch(() => undefined); // whatever stands there now
    if (held.dev !== named?.dev || held.ino !== named.ino) throw systemError("ESTALE");
    return way.path;
  }

  /** Whether an absolute path without links is in none of the roots, as far as the names tell, though there are some. */
  async leavesOut(path: Uint8Array): Promise<boolean> {
    const steps = toSteps(path);
    const roots = await this.roots();
    return roots.length > 0 && !roots.some((root) => beginsWith(steps, root.steps));
  }

  async #follow(path: Buffer, toEnd: boolean): Promise<Place> {
    await using way = new Way(await this.#open());
    return await way.follow(path, toEnd);
  }

  #open(): Promise<Bounds> {
    return (this.#bounds ??= this.#findBounds());
  }

  async #findBounds(): Promise<Bounds> {
    const own = await this.#openGuard();
    const [roots, guard] = await Promise.all([
      findRoots(this.#lists, own),
      own.keeping(this.#lists.flat().filter((path) => isAbsolute(path))),
    ]);
    return { roots, guard, outside: () => new OutsideError(explain(roots)) };
  }
}

function explain(roots: readonly Root[]): string {
  if (roots.length === 0)
    return 'is out of your reach: you may use no files; ask for directories ("roots"), or for the permission "exec"';
  const named = roots.slice(0, MAX_NAMED).map(({ steps }) => `"${escapeBytes(toPath(steps))}"`);
  const more = roots.length > MAX_NAMED ? `, and ${roots.length - MAX_NAMED} more` : "";
  return `is outside of what you may use, which is in ${named.join(", ")}${more}`;
}
