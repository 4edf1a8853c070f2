import type { FileWriting } from "../../commands/access/writing.ts";
import { copy } from "./copy.ts";
import { createDirectory, touch } from "./creation.ts";
import { move } from "./move.ts";
import { remove } from "./remove.ts";
import { attempt, type Room } from "./room.ts";
import { write } from "./write.ts";

/** Everything by which calls change files. */
export function createWriting(room: Room): FileWriting {
  return {
    makeDirectory: (path, how) =>
      attempt(room, "make directory", path, () => createDirectory(room, path, how)),
    touch: (path) => attempt(room, "touch", path, (absolute) => touch(room, absolute)),
    remove: (path, how, signal) => attempt(room, "remove", path, () => remove(room, path, how, signal)),
    write: (path, content, how, signal) =>
      attempt(room, "write", path, () => write(room, { path, content, how }, signal)),
    copy: (from, to, how, signal) => attempt(room, "copy", from, () => copy(room, from, to, how, signal)),
    move: (from, to, how, signal) => attempt(room, "move", from, () => move(room, from, to, how, signal)),
  };
}
