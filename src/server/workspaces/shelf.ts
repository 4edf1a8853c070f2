import { abortable } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { AppError } from "../../protocol/error.ts";
import {
  MAX_PRIVATE_WORKSPACES,
  MAX_WORKSPACES,
  MAX_WORKSPACES_BYTES,
  PRIVATE_WORKSPACE_LIFE,
} from "../../protocol/limits.ts";
import { fromBytes } from "../../protocol/path.ts";
import {
  DEFAULT_WORKSPACE,
  isPrivate,
  toWorkingDirectory,
  type WorkspaceName,
  type WorkspaceSummary,
} from "../../protocol/workspace.ts";
import type { Footing } from "./access.ts";
import type { Contents, KeptWorkspace, WorkspaceStore } from "./store.ts";
import { type Ground, toWorkspaceOn, UNCHANGED, Workspace } from "./workspace.ts";

export interface ShelfOptions {
  readonly store: WorkspaceStore;
  readonly ground: Ground;
  readonly log: Log;
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
}

/** A workspace with the times (ms) when it was used last: by now, and as its file has it. */
interface Entry {
  readonly workspace: Workspace;
  usedAt: number;
  keptAt: number;
}

/** One user's workspaces, all of them in memory: only changes touch the disk. */
export class Shelf {
  readonly #owner: string;
  readonly #options: ShelfOptions;
  readonly #entries = new Map<WorkspaceName, Entry>();
  /** Bytes of all of them, and of what is just being added. */
  #bytes = 0;
  /** The last change that was begun of each that is being changed: one follows another. */
  readonly #changes = new Map<WorkspaceName, Promise<unknown>>();
  /** How many sessions keep a private one. */
  readonly #holds = new Map<WorkspaceName, number>();

  constructor(owner: string, options: ShelfOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  /** Puts one where it was before the server was restarted. */
  adopt({ id, contents, usedAt }: KeptWorkspace): Workspace {
    const workspace = this.#create(id.name, contents);
    this.#bytes += workspace.bytes;
    this.#entries.set(id.name, { workspace, usedAt, keptAt: usedAt });
    return workspace;
  }

  /** For a call: the one that there is, or a new one at home. Throws `too_many`, `state_unusable`. */
  use(name: WorkspaceName): Workspace {
    const { store, now } = this.#options;
    const known = this.#entries.get(name);
    if (known !== undefined) {
      known.usedAt = now();
      return known.workspace;
    }
    if (store.isFaulty(this.#toId(name))) return this.adopt(store.readAgain(this.#toId(name)));
    const fresh = this.#create(name, UNCHANGED);
    // Until it is changed nobody could tell that it was there; and the default one always is.
    if (!isPrivate(name) && name !== DEFAULT_WORKSPACE) this.#begin(fresh);
    return fresh;
  }

  /**
   * One change after another. Resolves once it is on the disk, with what came of it; until then everybody has what was before.
   * Throws `too_many`, `unavailable` on a full disk, `state_unusable`.
   */
  change(name: WorkspaceName, toNext: (current: Workspace) => Contents): Promise<Workspace> {
    return this.#inTurn(name, async () => {
      const current = this.use(name);
      const next = this.#create(name, toNext(current));
      if (!this.#entries.has(name)) this.#checkCount(name);
      const added = this.#reserve(next, current);
      try {
        await this.#options.store.save(next.id, next.contents);
      } catch (error) {
        this.#bytes -= added;
        throw error;
      }
      const now = this.#options.now();
      this.#entries.set(name, { workspace: next, usedAt: now, keptAt: now });
      return next;
    });
  }

  /** Those that are not private, the default one first, as they are on this footing. */
  async list(footing: Footing, signal: AbortSignal): Promise<readonly WorkspaceSummary[]> {
    const names = [DEFAULT_WORKSPACE, ...[...this.#entries.keys()].sort()];
    const shown = [...new Set(names)].filter((name) => !isPrivate(name));
    return await abortable(Promise.all(shown.map((name) => this.#summarise(name, footing))), signal);
  }

  /** Removes all or, where one is unknown (`not_found`), none; the default one is then as it was at first. */
  async remove(names: readonly WorkspaceName[]): Promise<void> {
    const unknown = names.find((name) => !this.#isKnown(name));
    if (unknown !== undefined)
      throw new AppError("not_found", `Cannot remove workspace "${unknown}": there is none of that name`);
    await Promise.all(names.map((name) => this.#remove(name)));
  }

  /** Keeps a private one, used or not, until disposed. */
  hold(name: WorkspaceName): Disposable {
    this.#holds.set(name, (this.#holds.get(name) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const others = (this.#holds.get(name) ?? 0) - 1;
        if (others > 0) this.#holds.set(name, others);
        else this.#holds.delete(name);
      },
    };
  }

  /** Removes a private one that its client is done with, by itself, unless another session holds it. */
  discard(name: WorkspaceName): void {
    if (!isPrivate(name) || this.#holds.has(name)) return;
    if (!this.#entries.has(name) && !this.#changes.has(name)) return;
    this.#removeQuietly(name).catch(() => {}); // it logs what fails
  }

  /** Removes all of them, by itself. */
  abandon(): void {
    for (const name of this.#entries.keys()) this.#removeQuietly(name).catch(() => {}); // it logs what fails
  }

  /** Notes on the disk which were used, and removes private ones that were not for too long. */
  async sweep(): Promise<void> {
    const now = this.#options.now();
    for (const [name, entry] of [...this.#entries]) {
      if (this.#holds.has(name)) entry.usedAt = now;
      if (isPrivate(name) && now - entry.usedAt > PRIVATE_WORKSPACE_LIFE) await this.#removeQuietly(name);
      else if (entry.usedAt > entry.keptAt) this.#touch(entry);
    }
  }

  #begin(workspace: Workspace): void {
    const { name } = workspace.id;
    this.#checkCount(name);
    this.#entries.set(name, { workspace, usedAt: this.#options.now(), keptAt: 0 });
    this.#keepQuietly(name).catch(() => {}); // it logs what fails
  }

  /** That there is one is kept too, but nobody waits for it: at home and unchanged it holds nothing that could be lost. */
  async #keepQuietly(name: WorkspaceName): Promise<void> {
    try {
      await this.change(name, ({ contents }) => contents);
    } catch (error) {
      this.#complain("workspace not kept", name, error);
    }
  }

  async #removeQuietly(name: WorkspaceName): Promise<void> {
    try {
      await this.#remove(name);
    } catch (error) {
      this.#complain("workspace not removed", name, error);
    }
  }

  #touch(entry: Entry): void {
    const { id } = entry.workspace;
    try {
      this.#options.store.touch(id, entry.usedAt);
      entry.keptAt = entry.usedAt;
    } catch (error) {
      this.#complain("use of a workspace not noted", id.name, error);
    }
  }

  #remove(name: WorkspaceName): Promise<void> {
    return this.#inTurn(name, async () => {
      await this.#options.store.remove(this.#toId(name));
      this.#bytes -= this.#entries.get(name)?.workspace.bytes ?? 0;
      this.#entries.delete(name);
    });
  }

  #inTurn<T>(name: WorkspaceName, work: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(name) ?? Promise.resolve();
    const done = before.then(work, work).finally(() => {
      if (this.#changes.get(name) === done) this.#changes.delete(name);
    });
    this.#changes.set(name, done);
    return done;
  }

  /** Takes room for what is new, and answers how many bytes. Throws `too_many`. */
  #reserve(next: Workspace, current: Workspace): number {
    const added = next.bytes - current.bytes;
    if (added > 0 && this.#bytes + added > MAX_WORKSPACES_BYTES) {
      const most = `all of yours together have room for ${MAX_WORKSPACES_BYTES} bytes of variables`;
      throw new AppError("too_many", `Cannot set so much in workspace "${next.id.name}": ${most}`);
    }
    this.#bytes += added;
    return added;
  }

  /** Throws `too_many` where there is no room for another. */
  #checkCount(name: WorkspaceName): void {
    const [most, kind, remedy] = isPrivate(name)
      ? [MAX_PRIVATE_WORKSPACES, "private ones", "each goes when it is unused for a day"]
      : [MAX_WORKSPACES, "of them", "remove some with farhand workspace remove"];
    const alike = [...this.#entries.keys()].filter((other) => isPrivate(other) === isPrivate(name));
    if (alike.length < most) return;
    throw new AppError("too_many", `Cannot make workspace "${name}": you have ${most} ${kind}; ${remedy}`);
  }

  #isKnown(name: WorkspaceName): boolean {
    if (name === DEFAULT_WORKSPACE || this.#entries.has(name)) return true;
    return this.#options.store.isFaulty(this.#toId(name));
  }

  async #summarise(name: WorkspaceName, { ground, directories }: Footing): Promise<WorkspaceSummary> {
    const entry = this.#entries.get(name);
    const workspace = toWorkspaceOn(entry?.workspace ?? this.#create(name, UNCHANGED), ground);
    const { cwd, contents } = workspace;
    const fault = await directories.findFault(workspace).catch(toFault);
    return {
      name,
      ...toWorkingDirectory(fromBytes(cwd)),
      ...(fault !== undefined && { fault }),
      set: Object.keys(contents.set).length,
      unset: contents.unset.length,
      ...(entry !== undefined && { usedAt: new Date(entry.usedAt).toISOString() }),
    };
  }

  #create(name: WorkspaceName, contents: Contents): Workspace {
    return new Workspace(this.#toId(name), contents, this.#options.ground);
  }

  #toId(name: WorkspaceName) {
    return { owner: this.#owner, name };
  }

  #complain(what: string, name: WorkspaceName, error: unknown): void {
    this.#options.log.warn(what, { ...this.#toId(name), error: describeError(error) });
  }
}

/** Of one that somebody may not use no more is told. */
function toFault(error: unknown): string {
  if (error instanceof AppError && error.code === "forbidden") return "EACCES";
  throw error;
}
