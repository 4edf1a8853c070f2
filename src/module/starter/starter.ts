import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { toMessage } from "../../lib/message.ts";
import { AppError } from "../../protocol/error.ts";
import { STARTER } from "./files.ts";

/**
 * Writes a module to begin with, a task, and what an editor needs to check them, into a directory that it makes if need be, and
 * answers their paths. Throws `already_exists`, and writes nothing, where one of them is there and `force` is not set; and `os_error`.
 */
export function writeStarter(directory: string, force: boolean): readonly string[] {
  const files = Object.entries(STARTER).map(([name, text]) => ({ path: join(directory, name), text }));
  const there = files.find(({ path }) => existsSync(path));
  if (there !== undefined && !force)
    throw new AppError(
      "already_exists",
      `Cannot write "${there.path}": it is there already; --force replaces it`,
    );
  for (const { path, text } of files) write(path, text);
  return files.map(({ path }) => path);
}

function write(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } catch (error) {
    throw new AppError("os_error", `Cannot write "${path}": ${toMessage(error)}`, { cause: error });
  }
}
