import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import type { WorkspaceAccess, WorkspacesAccess } from "../../commands/access/workspace.ts";
import { delay } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import type { WorkspaceName } from "../../protocol/workspace.ts";
import type { Confinement } from "../files/confinement.ts";
import { type Footing, toAccess } from "./access.ts";
import { toDirectories } from "./directory.ts";
import { Shelf, type ShelfOptions } from "./shelf.ts";
import { WorkspaceStore } from "./store.ts";
import { withHome } from "./workspace.ts";

/** Milliseconds between two sweeps. */
const SWEEP_INTERVAL = 3_600_000;

/** Tokens, made from one of a user's by narrowing it, that have workspaces at once. */
export const MAX_NARROWED_SHELVES = 64;

export interface WorkspacesOptions {
  /** Where they are kept. */
  readonly directory: string;
  /** The server's own environment as jobs inherit it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
}

/** Sweeps now and then until the signal is aborted. */
export async function tend(workspaces: Workspaces, signal: AbortSignal): Promise<void> {
  for (;;) {
    await workspaces.sweep();
    await delay(SWEEP_INTERVAL, signal);
  }
}

/** Every user's workspaces. What one has, no other sees. */
export class Workspaces {
  readonly #options: ShelfOptions;
  readonly #shelves = new Map<string, Shelf>();

  constructor({ directory, environment, log, now }: WorkspacesOptions) {
    const store = new WorkspaceStore(directory);
    const ground = { home: findHome(), environment };
    this.#options = { store, ground, log, now };
    for (const kept of store.load(log)) this.#shelf(kept.id.owner).adopt(kept);
  }

  /** What workspaces are made on and looked at as by ourselves. `confinement`: where their directories may be, if not everywhere. `home`: where they begin, if not at ours. */
  footing(confinement?: Confinement, home?: string): Footing {
    return { ground: withHome(this.#options.ground, home), directories: toDirectories(confinement) };
  }

  /** The workspace of this name, made on its first use. `footing`: of the user as whom its calls are done, if not as ours. */
  access(owner: string, name: WorkspaceName, footing = this.footing()): WorkspaceAccess {
    return toAccess(name, this.#shelf(owner), footing);
  }

  /** All of one user's. */
  accessAll(owner: string, footing = this.footing()): WorkspacesAccess {
    const shelf = this.#shelf(owner);
    return {
      list: (signal) => shelf.list(footing, signal),
      remove: (names) => shelf.remove(names),
    };
  }

  /** Keeps a private workspace, used or not, until disposed. */
  hold(owner: string, name: WorkspaceName): Disposable {
    return this.#shelf(owner).hold(name);
  }

  /** Removes a private workspace that its client is done with, by itself, unless another session holds it. */
  discard(owner: string, name: WorkspaceName): void {
    this.#shelf(owner).discard(name);
  }

  /** Notes on the disk which were used, and removes private ones that were not for a day. */
  async sweep(): Promise<void> {
    for (const shelf of [...this.#shelves.values()]) await shelf.sweep();
  }

  #shelf(owner: string): Shelf {
    const known = this.#shelves.get(owner);
    const [, maker] = /^(.+?\/.+?\/)/.exec(owner) ?? [];
    if (known !== undefined && maker === undefined) return known;
    const shelf = known ?? new Shelf(owner, this.#options);
    // The one that was used last comes last.
    this.#shelves.delete(owner);
    this.#shelves.set(owner, shelf);
    if (known === undefined && maker !== undefined) this.#bound(maker);
    return shelf;
  }

  /** Anybody can make any number of tokens from his: of the shelves of those, the one that was of no use for longest goes. */
  #bound(maker: string): void {
    const [oldest, ...others] = [...this.#shelves.keys()].filter((owner) => owner.startsWith(maker));
    if (oldest === undefined || others.length < MAX_NARROWED_SHELVES) return;
    this.#shelves.get(oldest)?.abandon();
    this.#shelves.delete(oldest);
  }
}

/** Without links, so that what is above it is what its name says; as it is called where it is not there. */
function findHome(): Uint8Array {
  try {
    return realpathSync(Buffer.from(homedir()), "buffer");
  } catch {
    return Buffer.from(homedir());
  }
}
