import type { FileAccess } from "../../commands/access/files.ts";
import { createMountAccess, Mounts } from "./mounts.ts";
import { openNative } from "./native.ts";
import { openOwners } from "./owners.ts";
import { createReading } from "./reading.ts";
import type { Room } from "./room.ts";
import { Sweeper } from "./temporary.ts";
import { createWriting } from "./writing.ts";

/** The server's files, and what all calls know of them together. */
export class Files {
  readonly #shared: Omit<Room, "directory" | "signal">;

  /** `umask`: what new files and directories do not let others do, whatever ours is. */
  constructor({ umask }: { readonly umask: number }) {
    const native = openNative();
    const sweeper = new Sweeper(native);
    this.#shared = { owners: openOwners(), mounts: new Mounts(), umask, native, sweeper };
  }

  /** The files of one call, whose relative paths count from an absolute directory. `signal`: it is over. */
  access(directory: Uint8Array, signal: AbortSignal): FileAccess {
    const room: Room = { ...this.#shared, directory, signal };
    return { ...createReading(room), ...createWriting(room), ...createMountAccess(room) };
  }
}
