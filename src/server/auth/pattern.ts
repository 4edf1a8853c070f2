import { Glob } from "../../lib/glob.ts";

/** Whether one of these globs means a name, all of it. */
export function matchesAny(globs: readonly string[], name: string): boolean {
  return globs.some((glob) => matches(glob, name));
}

/** Whether a glob means a name, all of it. */
export function matches(glob: string, name: string): boolean {
  return new Glob(Buffer.from(glob)).matches(Buffer.from(name));
}
