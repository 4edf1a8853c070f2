import { realpath } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { Folder } from "./folder.ts";
import type { Guard } from "./guard.ts";
import type { Identified } from "./marks.ts";
import { beginsWith, toSteps, type Steps } from "./steps.ts";

/** Absolute directories of which one of each list must hold what somebody touches. */
export type RootLists = readonly (readonly string[])[];

/** A directory in which somebody may work. */
export interface Root {
  /** Where it is, without links. */
  readonly steps: Steps;
  /** How it may be written: so, and as the configuration has it. */
  readonly spellings: readonly Steps[];
  readonly found: Identified;
}

/** Those that all lists hold, as things are. What is not there, or is the server's own, is none. */
export async function findRoots(lists: RootLists, guard: Guard): Promise<readonly Root[]> {
  const all = await Promise.all(
    lists.map(async (list) => (await Promise.all(list.map((path) => findRoot(path, guard)))).flat()),
  );
  return all.reduce((held, list) => held.flatMap((one) => list.flatMap((other) => meet(one, other))));
}

/** The inner one of two. */
function meet(one: Root, other: Root): readonly Root[] {
  if (!beginsWith(one.steps, other.steps)) return beginsWith(other.steps, one.steps) ? [other] : [];
  if (one.steps.length > other.steps.length) return [one];
  return [{ ...one, spellings: [...one.spellings, ...other.spellings] }];
}

async function findRoot(path: string, guard: Guard): Promise<readonly Root[]> {
  if (!isAbsolute(path)) return [];
  try {
    const real = await realpath(Buffer.from(path), "buffer");
    await using folder = await Folder.openReal(real);
    if (await isOwn(folder, guard)) return [];
    const steps = toSteps(real);
    return [{ steps, spellings: [steps, toSteps(Buffer.from(path))], found: await folder.stat() }];
  } catch {
    return []; // it is not there, or not for us
  }
}

/** Whether a directory is in something of the server's own, by whatever mount. */
async function isOwn(folder: Folder, guard: Guard): Promise<boolean> {
  return await climb(folder, (found) => guard.isSealed(found));
}

/** Whether a directory, or one that it is in, is meant. */
export async function climb(folder: Folder, isMeant: (found: Identified) => boolean): Promise<boolean> {
  let known = await folder.stat();
  if (isMeant(known)) return true;
  let inner = await folder.leave();
  for (;;) {
    await using left = inner;
    const next = await left.stat();
    if (isMeant(next)) return true;
    if (next.dev === known.dev && next.ino === known.ino) return false;
    known = next;
    inner = await left.leave();
  }
}
