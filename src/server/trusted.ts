import { realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { toMessage } from "../lib/message.ts";
import { quote } from "../lib/quote.ts";
import type { AppError } from "../protocol/error.ts";

/** Makes the refusal of something of which this is wrong, as the rest of a sentence. */
export type Refuse = (why: string, cause?: unknown) => AppError;

/**
 * Where a path of code leads that the server runs: what is there nobody but our user and root may write, nor put another in its place.
 * Throws what `refuse` makes of why it is not so, with what mends it.
 */
export function findTrusted(path: string, what: "file" | "directory", refuse: Refuse): string {
  const found = find(path, what, refuse);
  for (let above = found; ; above = dirname(above)) {
    const { uid, mode } = statSync(above);
    const isSticky = above !== found && (mode & 0o1000) !== 0;
    if (uid !== 0 && uid !== process.getuid?.() && process.platform !== "win32")
      throw refuse(`"${above}" belongs to user ${uid}`);
    if ((mode & 0o022) !== 0 && !isSticky && process.platform !== "win32")
      throw refuse(`others may write "${above}"; run chmod go-w ${quote(above)}`);
    if (above === dirname(above)) return found;
  }
}

function find(path: string, what: "file" | "directory", refuse: Refuse): string {
  try {
    const found = realpathSync(path);
    const status = statSync(found);
    if (what === "file" ? status.isFile() : status.isDirectory()) return found;
  } catch (error) {
    throw refuse(toMessage(error).split("\n", 1)[0] ?? "", error);
  }
  throw refuse(`it is no ${what}`);
}
