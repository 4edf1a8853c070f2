import { Glob, isPattern } from "../lib/glob.ts";
import type { Found } from "./listed.ts";
import { isRefusal } from "./refusal.ts";
import { isHidden, look, walk, type Walker } from "./walk.ts";

const ANY_DEPTH = Buffer.from("**");

export interface ExpandOptions extends Walker {
  /** Whether `*` takes names that begin with a dot. */
  readonly hidden: boolean;
}

/**
 * What a path with patterns in its names means, in order: each `*`, `?` and `[a-z]` within one name, and `**` for any number of
 * directories on the way. One that ends in a separator means only directories.
 */
export async function* expand(
  pattern: Uint8Array,
  options: ExpandOptions,
): AsyncGenerator<Found, void, void> {
  const { root, names } = options.files.split(pattern);
  const takesFiles = options.files.split(pattern.subarray(-1)).names.length > 0;
  for await (const found of descend(root, names, options))
    if (takesFiles || (await isDirectory(found, options))) yield found;
}

async function* descend(
  directory: Uint8Array,
  [first, ...rest]: readonly Uint8Array[],
  options: ExpandOptions,
): AsyncGenerator<Found, void, void> {
  if (first === undefined) return;
  if (ANY_DEPTH.equals(first)) return yield* descendAll(directory, rest, options);
  if (!isPattern(first)) return yield* follow(directory, first, rest, options);
  for await (const found of findMatches(directory, first, options)) {
    if (rest.length === 0) yield found;
    else if (await isDirectory(found, options)) yield* descend(found.path, rest, options);
  }
}

async function* findMatches(directory: Uint8Array, pattern: Uint8Array, options: ExpandOptions) {
  const glob = new Glob(pattern);
  const takesHidden = options.hidden || isHidden(pattern);
  for await (const found of look(directory, options))
    if ((takesHidden || !isHidden(found.name)) && glob.matches(found.name)) yield found;
}

/** A name without a pattern need not be looked for, only whether it is there. */
async function* follow(
  directory: Uint8Array,
  name: Uint8Array,
  rest: readonly Uint8Array[],
  options: ExpandOptions,
): AsyncGenerator<Found, void, void> {
  const path = options.files.join(directory, name);
  if (rest.length > 0) return yield* descend(path, rest, options);
  const status = await orUndefined(options.files.inspect(path));
  if (status !== undefined) yield { path, name, type: status.type };
}

/** Here, and in every directory below. A pattern that ends so means all that is below. */
async function* descendAll(
  directory: Uint8Array,
  rest: readonly Uint8Array[],
  options: ExpandOptions,
): AsyncGenerator<Found, void, void> {
  if (rest.length > 0) yield* descend(directory, rest, options);
  const isMeant = ({ name }: { readonly name: Uint8Array }) => options.hidden || !isHidden(name);
  for await (const found of walk(directory, options, { isMeant })) {
    if (rest.length === 0) yield found;
    else if (found.type === "directory") yield* descend(found.path, rest, options);
  }
}

async function isDirectory({ path, type }: Found, { files }: ExpandOptions): Promise<boolean> {
  if (type !== "link") return type === "directory";
  return (await orUndefined(files.inspect(path, { follow: true })))?.type === "directory";
}

/** What is not there, or may not be looked at, matches nothing. */
async function orUndefined<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}
