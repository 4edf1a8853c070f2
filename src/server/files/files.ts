import type { FileAccess } from "../../commands/access/files.ts";
import { type Confinement, Confiner } from "./confinement.ts";
import type { OwnFiles } from "./marks.ts";
import { createMountAccess, Mounts } from "./mounts.ts";
import { openNative } from "./native.ts";
import { openOwners } from "./owners.ts";
import { createReading } from "./reading.ts";
import type { Room } from "./room.ts";
import type { RootLists } from "./roots.ts";
import { Sweeper } from "./temporary.ts";
import { createWriting } from "./writing.ts";

export interface FilesOptions {
  /** What new files and directories do not let others do, whatever ours is. */
  readonly umask: number;
  /** What nobody reaches who is confined to directories. */
  readonly own: () => OwnFiles;
}

/** The server's files, and what all calls know of them together. */
export class Files {
  readonly #shared: Omit<Room, "directory" | "signal" | "confinement">;
  readonly #confiner: Confiner;

  constructor({ umask, own }: FilesOptions) {
    this.#confiner = new Confiner(own);
    const native = openNative();
    const sweeper = new Sweeper(native);
    this.#shared = { owners: openOwners(), mounts: new Mounts(), umask, native, sweeper };
  }

  /**
   * Keeps a call in directories: what it touches must be in one of each list, as it really is. Undefined for everywhere. It is
   * asked for the files of a call, for its workspace's directory, and for that of a program.
   */
  confine(lists: RootLists | undefined): Confinement | undefined {
    return this.#confiner.confine(lists);
  }

  /** The files of one call, whose relative paths count from an absolute directory. `signal`: it is over. */
  access(directory: Uint8Array, signal: AbortSignal, confinement?: Confinement): FileAccess {
    const room: Room = { ...this.#shared, directory, signal, confinement };
    return { ...createReading(room), ...createWriting(room), ...createMountAccess(room) };
  }
}
