import * as v from "valibot";
import { mapAhead } from "../lib/ahead.ts";
import { escapeControls } from "../lib/escape.ts";
import { formatSize } from "../lib/size.ts";
import { FileName, toBytes, toFileName } from "../protocol/path.ts";
import type { Mount } from "./access/mounts.ts";
import type { CommandContext } from "./context.ts";
import { defineForeground } from "./define.ts";
import { FilePaths, pathArgs, showName, toPaths } from "./paths.ts";
import { align } from "./table.ts";
import { showUnread, toUnreadCode, Unread, UnreadList } from "./unread.ts";

/** File systems that are asked at a time: one that does not answer keeps a thread of the server. */
const AHEAD = 2;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const FileSystem = v.object({
  /** Where it is mounted. */
  mount: FileName,
  /** What is mounted: a device, or whatever the file system calls it. */
  source: FileName,
  /** Such as `ext4`. */
  type: v.string(),
  readOnly: v.boolean(),
  /** Bytes. What is neither used nor available is kept for root. */
  size: count,
  used: count,
  available: count,
});
type FileSystem = v.InferOutput<typeof FileSystem>;

export const df = defineForeground({
  name: "df",
  summary: "Show how full file systems are",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({
    /** Those in which these lie (default: all that hold files, each once). */
    paths: v.optional(FilePaths, []),
    /** Also those that hold nothing, and every place of one that is mounted several times. */
    all: v.optional(v.boolean(), false),
  }),
  positional: ["paths"],
  result: v.object({ fileSystems: v.array(FileSystem), unread: Unread }),

  async run({ paths, all }, context) {
    const unread = new UnreadList();
    const mounts = await findMounts(paths.map(toBytes), context, unread);
    const fileSystems: FileSystem[] = [];
    for await (const measured of measureAll(mounts, context, unread))
      if (measured !== undefined) fileSystems.push(measured);
    const isFull = all || paths.length > 0;
    return { fileSystems: isFull ? fileSystems : leaveOutRest(fileSystems), unread: unread.toResult() };
  },

  cli: {
    args: {
      all: {
        type: "boolean",
        alias: "a",
        description: "Also file systems that hold nothing, and every place of each",
      },
      ...pathArgs,
    },
    rest: "[PATH ...]",
    examples: [
      ["farhand df", "every file system that holds files"],
      ["farhand df /srv", "the one in which it lies"],
      ["farhand df --json . | jq .fileSystems[0].available", "bytes that are left"],
    ],
    toInput: (values) => ({ paths: toPaths(values), all: values.flag("all") }),
    show: ({ fileSystems, unread }) => toText(fileSystems, showUnread(unread)),
    toExitCode: ({ unread }) => toUnreadCode(unread),
  },
});

async function findMounts(
  paths: readonly Uint8Array[],
  { files, signal }: CommandContext,
  unread: UnreadList,
): Promise<readonly Mount[]> {
  if (paths.length === 0) return await files.listMounts();
  const mounts: Mount[] = [];
  for (const path of paths) {
    signal.throwIfAborted();
    try {
      mounts.push(await files.findMount(path));
    } catch (error) {
      if (paths.length === 1) throw error;
      unread.add(error);
    }
  }
  return mounts;
}

async function* measureAll(
  mounts: readonly Mount[],
  { files, signal }: CommandContext,
  unread: UnreadList,
): AsyncGenerator<FileSystem | undefined, void, void> {
  yield* mapAhead(eachOf(mounts), AHEAD, async (mount) => {
    try {
      const { path, source, system, readOnly } = mount;
      const usage = await files.measureMount(mount, signal);
      return { mount: toFileName(path), source: toFileName(source), type: system, readOnly, ...usage };
    } catch (error) {
      unread.add(error);
      return undefined;
    }
  });
}

async function* eachOf<T>(items: readonly T[]): AsyncGenerator<T, void, void> {
  yield* items;
}

/** One for each device, in the place that is the shortest to write, and none that has no size. */
function leaveOutRest(fileSystems: readonly FileSystem[]): FileSystem[] {
  const best = new Map<string, FileSystem>();
  for (const fileSystem of fileSystems) {
    const { size, mount, source } = fileSystem;
    // What is no device has a name that says nothing: two tmpfs are two.
    const key = isDevice(source.name) ? source.name : mount.name;
    const known = best.get(key);
    if (size > 0 && (known === undefined || mount.name.length < known.mount.name.length))
      best.set(key, fileSystem);
  }
  return fileSystems.filter((fileSystem) => [...best.values()].includes(fileSystem));
}

function isDevice(source: string): boolean {
  return source.startsWith("/dev/");
}

function toText(fileSystems: readonly FileSystem[], missing: string | undefined): string {
  const rows = fileSystems.map(({ source, type, size, used, available, mount }) => [
    showName(source),
    type,
    formatSize(size),
    formatSize(used),
    formatSize(available),
    toShare(used, available),
    showName(mount),
  ]);
  const table = align([["SOURCE", "TYPE", "SIZE", "USED", "AVAILABLE", "USE", "MOUNTED ON"], ...rows]);
  return [...table, ...(missing === undefined ? [] : [escapeControls(missing)])].join("\n");
}

/** What is used of what can be used, as df(1) rounds it. */
function toShare(used: number, available: number): string {
  return used + available === 0 ? "-" : `${Math.ceil((used / (used + available)) * 100)} %`;
}
