import type { FileWriting } from "../../commands/access/writing.ts";
import type { Room } from "./room.ts";

/** Everything by which calls change files. */
export function createWriting(_room: Room): FileWriting {
  return {};
}
