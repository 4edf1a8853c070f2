import { findCommand } from "../../commands/index.ts";
import type { Definition } from "./definition.ts";

/** Whether no client has a verb of its own for it: somebody's own command, or one of a newer server. */
export function isOwn({ name }: Definition): boolean {
  return findCommand(name) === undefined;
}
