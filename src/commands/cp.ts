import * as v from "valibot";
import { count } from "../lib/count.ts";
import { formatSize } from "../lib/size.ts";
import { FileType } from "../protocol/file.ts";
import { FileName, toBytes, toFileName } from "../protocol/path.ts";
import type { Skipped } from "./access/writing.ts";
import { defineStream } from "./define.ts";
import { forEach } from "./each.ts";
import { showName } from "./paths.ts";
import { toTransfer, transferArgs, transferEntries } from "./transfer.ts";

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A path that was copied, with all that is in it. */
const Copied = v.object({
  from: FileName,
  to: FileName,
  files: number,
  directories: number,
  links: number,
  /** Of the files, holes included. */
  bytes: number,
  /** What was there already, and left alone. */
  kept: number,
  /** FIFOs, sockets and devices, which are not copied. */
  skipped: number,
  /** The first of them. */
  skips: v.array(v.object({ ...FileName.entries, type: FileType })),
});
type Copied = v.InferOutput<typeof Copied>;

export const cp = defineStream({
  name: "cp",
  summary: "Copy files and directories on the server",
  permission: "write",
  idempotent: false,
  asUser: true,
  input: v.object({
    ...transferEntries,
    /** A directory with all that is in it. */
    recursive: v.optional(v.boolean(), false),
  }),
  positional: ["from", "to"],
  event: Copied,
  result: v.object({ files: number, bytes: number }),

  async *run({ from, to, recursive, noClobber }, { files, signal }) {
    const total = { files: 0, bytes: 0 };
    const how = { recursive, into: from.length > 1, keep: noClobber };
    const act = async (path: Uint8Array) => {
      const { to: goal, skips, ...figures } = await files.copy(path, toBytes(to), how, signal);
      total.files += figures.files;
      total.bytes += figures.bytes;
      return { from: toFileName(path), to: toFileName(goal), ...figures, skips: skips.map(toSkip) };
    };
    yield* forEach({ action: "copy", paths: from, signal, act });
    return total;
  },

  cli: {
    args: {
      recursive: { type: "boolean", alias: "r", description: "A directory with all that is in it" },
      ...transferArgs,
    },
    rest: "SOURCE ... TARGET",
    examples: [
      ["farhand cp app.conf app.conf.old", "with its mode and times; what had that name is replaced"],
      ["farhand cp -r site /srv/backup", "a tree, into the directory if there is one; links stay links"],
      ["farhand cp a b c dir", "several into a directory"],
    ],
    toInput: (values) => ({ ...toTransfer(values), recursive: values.flag("recursive") }),
    show: (copied) =>
      `Copied ${showName(copied.from)} to ${showName(copied.to)}: ${describe(copied).join(", ")}`,
  },
});

function toSkip({ path, type }: Skipped): Copied["skips"][number] {
  return { ...toFileName(path), type };
}

function describe({ files, directories, links, bytes, kept, skipped, skips }: Copied): string[] {
  const others = skips.map((skip) => `${showName(skip)} (${skip.type.replace("_", " ")})`);
  return [
    `${count(files, "file")} (${formatSize(bytes)})`,
    ...(directories > 0 ? [count(directories, "directory", "directories")] : []),
    ...(links > 0 ? [count(links, "link")] : []),
    ...(kept > 0 ? [`${kept} left alone`] : []),
    ...(skipped > 0
      ? [`${skipped} skipped: ${others.join(" ")}${skipped > skips.length ? " ..." : ""}`]
      : []),
  ];
}
