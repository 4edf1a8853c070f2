import * as v from "valibot";
import { mapAhead } from "../lib/ahead.ts";
import { Glob } from "../lib/glob.ts";
import { AppError } from "../protocol/error.ts";
import { FileStatus, FileType } from "../protocol/file.ts";
import { FilePath, toBytes } from "../protocol/path.ts";
import { Moment, parseMoment, parseSizeBounds, SizeBounds, toMs } from "./bounds.ts";
import { defineStream, type CliValues } from "./define.ts";
import { type Found, LETTERS, ListedFile, showListed, toListed } from "./listed.ts";
import { toCount } from "./numbers.ts";
import { FilePaths, pathArgs, toPaths } from "./paths.ts";
import { showUnread, toUnreadCode, Unread, UnreadList } from "./unread.ts";
import { walk, type Walker } from "./walk.ts";

/** Files whose details are asked for at a time. */
const AHEAD = 32;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const Input = v.object({
  /** Where to look (default: the workspace's directory). */
  paths: v.optional(FilePaths, []),
  /** Patterns of names, one of which must match. */
  names: v.optional(v.pipe(v.array(FilePath), v.maxLength(100, "has more than 100 patterns")), []),
  /** Only these types. */
  types: v.optional(v.array(FileType), []),
  size: v.optional(SizeBounds),
  /** Modified since then, and before then. */
  newer: v.optional(Moment),
  older: v.optional(Moment),
  /** Levels below each path; 0 is the path itself. */
  maxDepth: v.optional(count),
  /** Files after which to stop. */
  limit: v.optional(v.pipe(count, v.minValue(1))),
  /** Mode, owner, size, time and target of each. */
  details: v.optional(v.boolean(), false),
});
type Input = v.InferOutput<typeof Input>;

export const find = defineStream({
  name: "find",
  summary: "Find files below a directory by name, type, size and age",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: Input,
  positional: ["paths"],
  event: ListedFile,
  result: v.object({ found: v.number(), unread: Unread }),

  async *run(input, { files, signal }) {
    const unread = new UnreadList();
    const walker: Walker = { files, signal, onUnread: (error) => unread.add(error) };
    let found = 0;
    for await (const file of select(input, walker)) {
      if (file === undefined) continue;
      yield file;
      if (++found === input.limit) break;
    }
    return { found, unread: unread.toResult() };
  },

  cli: {
    args: {
      name: {
        type: "string",
        alias: "n",
        valueHint: "pattern",
        multiple: true,
        description: "Only names that match, such as '*.log'; may be repeated",
      },
      type: {
        type: "string",
        alias: "t",
        valueHint: "f,d,l,…",
        description: "Only files, directories, links, p, s, b, c",
      },
      size: {
        type: "string",
        valueHint: "[+-]n[kMGT]",
        description: "+10M: at least so large; -4k: at most; 0: empty",
      },
      newer: { type: "string", valueHint: "time", description: "Modified since: 2h ago, or a date" },
      older: { type: "string", valueHint: "time", description: "Modified before: 30d ago, or a date" },
      "max-depth": { type: "string", valueHint: "n", description: "At most so many levels below" },
      limit: { type: "string", valueHint: "n", description: "Stop after so many" },
      long: {
        type: "boolean",
        alias: "l",
        description: "Type, mode, links, owner, group, size, time and target",
      },
      ...pathArgs,
    },
    rest: "[PATH ...]",
    examples: [
      ["farhand find /var/log --name '*.log' --size +10M", "large logs"],
      ["farhand find --type f --newer 1h -l", "what has changed within the hour, with details"],
      ["farhand find /srv --older 30d --json | jq -r .path", "for a script"],
    ],
    toInput,
    show: showListed,
    conclude: ({ unread }) => showUnread(unread),
    toExitCode: ({ unread }) => toUnreadCode(unread),
  },
});

/** What meets every condition; undefined for what does not. What names and types rule out is not looked at. */
async function* select(input: Input, walker: Walker): AsyncGenerator<ListedFile | undefined, void, void> {
  const meets = toCondition(input);
  const candidates = filter(findAll(input, walker), toCheapCondition(input));
  if (!needsStatus(input)) {
    for await (const file of candidates) yield toListed(file, true);
    return;
  }
  yield* mapAhead(candidates, AHEAD, async (file) => {
    try {
      const status = await walker.files.inspect(file.path);
      return meets(status) ? toListed(file, true, input.details ? status : undefined) : undefined;
    } catch (error) {
      walker.onUnread(error);
      return undefined;
    }
  });
}

/** Everything at and below all paths. One of several that is not there does not keep the others from being searched. */
async function* findAll({ paths, maxDepth }: Input, walker: Walker): AsyncGenerator<Found, void, void> {
  const options = maxDepth === undefined ? {} : { maxDepth };
  if (paths.length === 0) yield* walk(new Uint8Array(), walker, options);
  for (const path of paths.map(toBytes)) {
    try {
      const { names, root } = walker.files.split(path);
      const { type } = await walker.files.inspect(path);
      yield { path, name: names.at(-1) ?? root, type };
      if (type === "directory") yield* walk(path, walker, options);
    } catch (error) {
      if (paths.length === 1) throw error;
      walker.onUnread(error);
    }
  }
}

async function* filter<T>(
  items: AsyncIterable<T>,
  isMeant: (item: T) => boolean,
): AsyncGenerator<T, void, void> {
  for await (const item of items) if (isMeant(item)) yield item;
}

function toCheapCondition({ names, types }: Input): (file: Found) => boolean {
  const globs = names.map((name) => new Glob(toBytes(name)));
  return ({ name, type }) =>
    (types.length === 0 || types.includes(type)) &&
    (globs.length === 0 || globs.some((glob) => glob.matches(name)));
}

function needsStatus({ details, size, newer, older }: Input): boolean {
  return details || size !== undefined || newer !== undefined || older !== undefined;
}

function toCondition({ size: { min = 0, max = Number.POSITIVE_INFINITY } = {}, newer, older }: Input) {
  const now = Date.now();
  const since = newer === undefined ? Number.NEGATIVE_INFINITY : toMs(newer, now);
  const before = older === undefined ? Number.POSITIVE_INFINITY : toMs(older, now);
  return ({ size, modifiedAt }: FileStatus): boolean => {
    const modified = Date.parse(modifiedAt);
    return size >= min && size <= max && modified >= since && modified < before;
  };
}

function toInput(values: CliValues): v.InferInput<typeof Input> {
  const [size, newer, older] = [values.text("size"), values.text("newer"), values.text("older")];
  const [maxDepth, limit] = [toCount(values, "max-depth"), toCount(values, "limit")];
  return {
    paths: toPaths(values),
    names: [...values.list("name")],
    types: values
      .list("type")
      .flatMap((list) => list.split(","))
      .map(parseType),
    ...(size !== undefined && { size: parseSizeBounds(size) }),
    ...(newer !== undefined && { newer: parseMoment(newer) }),
    ...(older !== undefined && { older: parseMoment(older) }),
    ...(maxDepth !== undefined && { maxDepth }),
    ...(limit !== undefined && { limit }),
    details: values.flag("long"),
  };
}

/** Reads `f`, `file`, `d`, `directory` and so on. */
function parseType(text: string): FileType {
  const known = Object.entries({ ...LETTERS, file: "f" }).find(
    ([name, letter]) => name === text || letter === text,
  );
  const parsed = v.safeParse(FileType, known?.[0]);
  if (parsed.success) return parsed.output;
  throw new AppError("invalid_input", `Cannot look for type "${text}": choose of f, d, l, p, s, b and c`);
}
