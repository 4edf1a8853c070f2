import type { BigIntStats } from "node:fs";
import { mkdir, utimes } from "node:fs/promises";
import type { Skipped } from "../../commands/access/writing.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { copyFile } from "./copy-file.ts";
import { copyLink, leadsTo } from "./copy-link.ts";
import { refusal, toFailure, toSystemCode } from "./failure.ts";
import type { Folder } from "./folder.ts";
import { paths } from "./path.ts";
import { toAllowed, toMode, withoutSetId } from "./permission.ts";
import { Place } from "./place.ts";
import type { Room } from "./room.ts";
import { toType } from "./status.ts";
import { Trail } from "./trail.ts";

/** Failures and skips that are kept, of any number. */
const MAX_KEPT = 20;

export interface CopyingOptions {
  readonly signal: AbortSignal;
  /** Whether the copies belong to whom the originals belong. */
  readonly owned: boolean;
  /** Leave alone what is there already. */
  readonly keep: boolean;
}

const HERE = Buffer.from(".");

/** Something, and where its copy goes. `path`: as a caller would write where it is. */
export interface Pair {
  readonly from: Place;
  readonly to: Place;
  readonly path: Uint8Array;
}

interface Trails {
  readonly source: Trail;
  readonly target: Trail;
}

interface Folders {
  readonly source: Folder;
  readonly target: Folder;
}

/** A directory that is being copied. */
interface Step {
  readonly name: Buffer;
  readonly path: Uint8Array;
  readonly stats: BigIntStats;
  /** It was made here, and gets its mode and times once it is full. */
  readonly isNew: boolean;
  /** Directories in it that are not copied yet. */
  readonly left: Buffer[];
}

/**
 * Copies trees, file by file, each of which is there once it is whole. No link is followed on either side, whatever somebody
 * puts in whose place meanwhile. What cannot be copied is told, and everything else is copied.
 */
export class TreeCopying {
  readonly #room: Room;
  readonly #options: CopyingOptions;
  /** The first of them. */
  readonly failures: unknown[] = [];
  failed = 0;
  readonly tally = {
    files: 0,
    directories: 0,
    links: 0,
    bytes: 0,
    kept: 0,
    skipped: 0,
    skips: [] as Skipped[],
  };

  constructor(room: Room, options: CopyingOptions) {
    this.#room = room;
    this.#options = options;
  }

  /** Copies one thing, a directory with all that is in it. Throws if it cannot even begin. */
  async copy(pair: Pair): Promise<void> {
    const stats = await pair.from.get();
    if (stats.isDirectory()) await this.#copyTree(pair);
    else await this.#copyLeaf(pair, stats);
  }

  async #copyTree({ from, to, path }: Pair): Promise<void> {
    await using source = new Trail(from.folder);
    await using target = new Trail(to.folder);
    const steps: Step[] = [];
    await this.#descend({ source, target }, steps, { name: from.name, newName: to.name, path });
    for (let step = steps.at(-1); step !== undefined; step = steps.at(-1)) {
      this.#options.signal.throwIfAborted();
      const name = step.left.pop();
      if (name === undefined) await this.#ascend({ source, target }, steps);
      else await this.#descendOn({ source, target }, steps, name);
    }
  }

  /** One that cannot be copied is no reason to leave the others. */
  async #descendOn(trails: Trails, steps: Step[], name: Buffer): Promise<void> {
    const path = paths.join(steps.at(-1)?.path ?? Buffer.of(), name);
    try {
      await this.#descend(trails, steps, { name, newName: name, path });
    } catch (error) {
      this.#fail(path, error);
    }
  }

  async #descend(
    { source, target }: Trails,
    steps: Step[],
    { name, newName, path }: { readonly name: Buffer; readonly newName: Buffer; readonly path: Uint8Array },
  ): Promise<void> {
    await source.descend(name);
    const isNew = await this.#makeDirectory(target, newName).catch(async (error: unknown) => {
      await source.ascend();
      throw error;
    });
    const step: Step = { name: newName, path, stats: await source.top.stat(), isNew, left: [] };
    steps.push(step);
    try {
      await this.#fill({ source: source.top, target: target.top }, step);
    } catch (error) {
      this.#fail(path, error);
    }
  }

  /** Makes a directory and goes into it, and answers whether it was not there before. */
  async #makeDirectory(target: Trail, name: Buffer): Promise<boolean> {
    const isNew = await mkdir(target.top.at(name), { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (toSystemCode(error) === "EEXIST") return false;
        throw error;
      },
    );
    if (isNew) this.tally.directories++;
    await target.descend(name);
    return isNew;
  }

  /** Copies all in a directory that is none. */
  async #fill({ source, target }: Folders, step: Step): Promise<void> {
    for (const name of await source.names()) {
      this.#options.signal.throwIfAborted();
      const pair = {
        from: new Place(source, name),
        to: new Place(target, name),
        path: paths.join(step.path, name),
      };
      try {
        const stats = await pair.from.get();
        if (stats.isDirectory()) step.left.push(name);
        else await this.#copyLeaf(pair, stats);
      } catch (error) {
        this.#fail(pair.path, error);
      }
    }
  }

  /** Copies a file or a link; anything else is skipped. */
  async #copyLeaf(pair: Pair, stats: BigIntStats): Promise<void> {
    const { signal, owned, keep } = this.#options;
    const isGuarded = pair.to.folder.guard !== undefined;
    const there = keep || isGuarded ? await pair.to.findToChange() : undefined;
    if (keep && there !== undefined) return void this.tally.kept++;
    if (stats.isFile()) {
      this.tally.bytes += await copyFile(this.#room, pair.from, pair.to, { signal, owned, keep });
      this.tally.files++;
    } else if (stats.isSymbolicLink()) {
      if (await leadsTo(this.#room, pair.from, await pair.to.find())) throw toCircle(pair.path);
      await copyLink(this.#room, pair, { stats, owned });
      this.tally.links++;
    } else this.#skip(pair.path, stats);
  }

  #skip(path: Uint8Array, stats: BigIntStats): void {
    this.tally.skipped++;
    if (this.tally.skips.length < MAX_KEPT) this.tally.skips.push({ path, type: toType(stats) });
  }

  /** Leaves a directory that is full. */
  async #ascend({ source, target }: Trails, steps: Step[]): Promise<void> {
    const step = steps.pop();
    try {
      if (step?.isNew) await this.#settle(target.top, step.stats);
    } catch (error) {
      this.#fail(step?.path ?? Buffer.of(), error);
    }
    await Promise.all([source.ascend(), target.ascend()]);
  }

  async #settle(folder: Folder, stats: BigIntStats): Promise<void> {
    const { native } = this.#room;
    const isOwned = this.#options.owned && (await folder.own(stats));
    const mode = toAllowed(this.#room, isOwned ? toMode(stats) : withoutSetId(toMode(stats)));
    // While it may still be entered.
    const path = folder.at(HERE);
    if (!native?.setLinkTimes(path, stats)) await utimes(path, stats.atime, stats.mtime);
    await folder.setMode(mode);
  }

  #fail(path: Uint8Array, error: unknown): void {
    this.#options.signal.throwIfAborted();
    this.failed++;
    if (this.failures.length < MAX_KEPT) this.failures.push(toFailure("copy", path, error));
  }
}

function toCircle(path: Uint8Array): unknown {
  const what = `Cannot copy "${escapeBytes(path)}": it leads to what it would replace (EINVAL)`;
  return refusal("EINVAL", what, path);
}
