import type { Entry, FileReading } from "./access/reading.ts";
import type { Found } from "./listed.ts";

/** What a walk needs of a call. */
export interface Walker {
  readonly files: FileReading;
  readonly signal: AbortSignal;
  /** Told what could not be read; it throws what is to end the walk. */
  readonly onUnread: (error: unknown) => void;
}

export interface WalkOptions {
  /** Levels below the start, which itself is none of what is found. */
  readonly maxDepth?: number;
  /** Whether something counts, and with it all that is below it. */
  readonly isMeant?: (entry: Entry) => boolean;
}

/** Something that was found, and how many levels below the start. */
export interface Step extends Found {
  readonly depth: number;
}

const HERE = Buffer.from(".");

/** Whether a name is one of those that are not shown unless asked for. */
export function isHidden(name: Uint8Array): boolean {
  return name[0] === HERE[0];
}

/** What is in a directory, in order. An empty path is the workspace's own directory, whose paths begin with nothing. */
export async function* look(
  directory: Uint8Array,
  { files, signal, onUnread }: Walker,
): AsyncGenerator<Found, void, void> {
  try {
    for await (const { name, type } of files.list(directory.length === 0 ? HERE : directory, signal))
      yield { path: files.join(directory, name), name, type };
  } catch (error) {
    onUnread(error);
  }
}

/**
 * Everything below a directory, each directory before what is in it. Links are not followed, so that it ends. It keeps the
 * names of the directories on the way to where it is, and nothing else.
 */
export async function* walk(
  directory: Uint8Array,
  walker: Walker,
  { maxDepth = Number.POSITIVE_INFINITY, isMeant = () => true }: WalkOptions = {},
): AsyncGenerator<Step, void, void> {
  if (maxDepth < 1) return;
  const open = [look(directory, walker)];
  for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
    const { done, value } = await level.next();
    if (done) {
      open.pop();
      continue;
    }
    if (!isMeant(value)) continue;
    const depth = open.length;
    yield { ...value, depth };
    if (value.type === "directory" && depth < maxDepth) open.push(look(value.path, walker));
  }
}
