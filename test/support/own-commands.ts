import { copyFileSync, mkdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { World } from "./world.ts";

/** Gives a server that is not yet started these modules of `test/fixtures/` as commands of its own. */
export function installCommands({ state }: Pick<World, "state">, ...fixtures: readonly string[]): void {
  const commands = join(state, "commands");
  mkdirSync(commands, { recursive: true, mode: 0o700 });
  for (const fixture of fixtures)
    copyFileSync(resolve(import.meta.dir, "../fixtures", fixture), join(commands, basename(fixture)));
}
