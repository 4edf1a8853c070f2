import * as v from "valibot";
import { mapAhead } from "../lib/ahead.ts";
import { isPattern } from "../lib/glob.ts";
import { AppError } from "../protocol/error.ts";
import { type FilePath, toBytes } from "../protocol/path.ts";
import { defineStream } from "./define.ts";
import { expand } from "./expand.ts";
import { type Found, ListedFile, showListed, toListed } from "./listed.ts";
import { FilePaths, pathArgs, showPath, toPaths } from "./paths.ts";
import { showUnread, toUnreadCode, Unread, UnreadList } from "./unread.ts";
import { isHidden, look, walk, type Walker } from "./walk.ts";

/** Files whose details are asked for at a time. */
const AHEAD = 32;

const Input = v.object({
  /** Patterns among them mean what they match, and those in bytes are none. */
  paths: v.optional(FilePaths, []),
  /** Also what begins with a dot. */
  hidden: v.optional(v.boolean(), false),
  /** Mode, owner, size, time and target. */
  details: v.optional(v.boolean(), false),
  /** Also what is below. */
  recursive: v.optional(v.boolean(), false),
  /** A directory itself, not what is in it. */
  directory: v.optional(v.boolean(), false),
});
type Input = v.InferOutput<typeof Input>;

export const ls = defineStream({
  name: "ls",
  summary: "List what is in a directory",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: Input,
  positional: ["paths"],
  event: ListedFile,
  result: v.object({ entries: v.number(), unread: Unread }),

  async *run(input, { files, signal }) {
    const unread = new UnreadList();
    const walker: Walker = { files, signal, onUnread: (error) => unread.add(error) };
    const saysPath = input.recursive || input.paths.length > 1 || input.paths.some(isPatternPath);
    let entries = 0;
    const found = findAll(input, walker);
    for await (const listed of describeAll(found, { walker, saysPath, details: input.details })) {
      if (listed === undefined) continue;
      entries++;
      yield listed;
    }
    return { entries, unread: unread.toResult() };
  },

  cli: {
    args: {
      all: { type: "boolean", alias: "a", description: "Also names that begin with a dot" },
      long: {
        type: "boolean",
        alias: "l",
        description: "Type, mode, links, owner, group, size, time and target",
      },
      recursive: { type: "boolean", alias: "R", description: "Also what is in the directories below" },
      directory: { type: "boolean", alias: "d", description: "A directory itself, not what is in it" },
      ...pathArgs,
    },
    rest: "[PATH ...]",
    examples: [
      ["farhand ls", "the workspace's directory, one name per line"],
      ["farhand ls -la /srv", "with hidden files, and with details"],
      ["farhand ls 'logs/*.log'", "by a pattern, in quotes so that the server reads it"],
      ["farhand ls -R --json src | jq -r 'select(.type == \"link\").path'", "every link below"],
    ],
    toInput: (values) => ({
      paths: toPaths(values),
      hidden: values.flag("all"),
      details: values.flag("long"),
      recursive: values.flag("recursive"),
      directory: values.flag("directory"),
    }),
    show: showListed,
    conclude: ({ unread }) => showUnread(unread),
    toExitCode: ({ unread }) => toUnreadCode(unread),
  },
});

interface Describing {
  readonly walker: Walker;
  readonly saysPath: boolean;
  readonly details: boolean;
}

/** Something that was found; `isNamed`: the caller named it itself. */
type Candidate = Found & { readonly isNamed?: boolean };

/** Each file for the list; undefined for one that is gone, or may not be looked at. */
async function* describeAll(
  found: AsyncIterable<Candidate>,
  { walker: { files, onUnread }, saysPath, details }: Describing,
): AsyncGenerator<ListedFile | undefined, void, void> {
  if (!details) {
    for await (const file of found) yield toListed(file, saysPath || file.isNamed === true);
    return;
  }
  yield* mapAhead(found, AHEAD, async (file) => {
    try {
      const status = await files.inspect(file.path);
      return toListed(file, saysPath || file.isNamed === true, status);
    } catch (error) {
      onUnread(error);
      return undefined;
    }
  });
}

/** What all paths mean. One of several that is not there does not keep the others from being listed. */
async function* findAll(input: Input, walker: Walker): AsyncGenerator<Candidate, void, void> {
  const { paths } = input;
  if (paths.length === 0) yield* list(new Uint8Array(), input, walker);
  for (const path of paths) {
    try {
      yield* isPatternPath(path) ? findMatches(path, input, walker) : findNamed(toBytes(path), input, walker);
    } catch (error) {
      if (paths.length === 1) throw error;
      walker.onUnread(error);
    }
  }
}

async function* findMatches(
  path: FilePath,
  input: Input,
  walker: Walker,
): AsyncGenerator<Candidate, void, void> {
  let any = false;
  for await (const found of expand(toBytes(path), { ...walker, hidden: input.hidden })) {
    any = true;
    yield found;
    if (input.recursive && found.type === "directory") yield* list(found.path, input, walker);
  }
  if (any) return;
  // Nothing matches: a file may be called so itself.
  const isThere = await walker.files.inspect(toBytes(path)).then(
    () => true,
    () => false,
  );
  if (!isThere) throw new AppError("not_found", `Cannot list "${showPath(path)}": nothing matches`);
  yield* findNamed(toBytes(path), input, walker);
}

/** What a path names: what is in it if it is a directory or leads to one, and otherwise itself. */
async function* findNamed(
  path: Uint8Array,
  input: Input,
  walker: Walker,
): AsyncGenerator<Candidate, void, void> {
  const { type } = await walker.files.inspect(path);
  const isDirectory = type === "directory" || (type === "link" && (await leadsToDirectory(path, walker)));
  if (isDirectory && !input.directory) return yield* list(path, input, walker);
  const { names, root } = walker.files.split(path);
  yield { path, name: names.at(-1) ?? root, type, isNamed: true };
}

async function leadsToDirectory(path: Uint8Array, { files }: Walker): Promise<boolean> {
  return await files.inspect(path, { follow: true }).then(
    ({ type }) => type === "directory",
    () => false, // it leads nowhere
  );
}

/** What is in a directory; what cannot be read of it is thrown, and of those below told. */
async function* list(
  directory: Uint8Array,
  { hidden, recursive }: Input,
  walker: Walker,
): AsyncGenerator<Found, void, void> {
  const isMeant = ({ name }: { readonly name: Uint8Array }) => hidden || !isHidden(name);
  const named = { ...walker, onUnread: rethrow };
  for await (const found of look(directory, named)) {
    if (!isMeant(found)) continue;
    yield found;
    if (recursive && found.type === "directory") yield* walk(found.path, walker, { isMeant });
  }
}

function rethrow(error: unknown): never {
  throw error;
}

function isPatternPath(path: FilePath): boolean {
  return typeof path === "string" && isPattern(toBytes(path));
}
