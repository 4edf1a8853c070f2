import type { FileAccess } from "../../commands/access/files.ts";
import { createMountAccess, Mounts } from "./mounts.ts";
import { openOwners } from "./owners.ts";
import { createReading } from "./reading.ts";
import type { Room } from "./room.ts";
import { createWriting } from "./writing.ts";

/** The server's files, and what all calls know of them together. */
export class Files {
  readonly #shared = { owners: openOwners(), mounts: new Mounts() };

  /** The files of one call, whose relative paths count from an absolute directory. */
  access(directory: Uint8Array): FileAccess {
    const room: Room = { ...this.#shared, directory };
    return { ...createReading(room), ...createWriting(room), ...createMountAccess(room) };
  }
}
