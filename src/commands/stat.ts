import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { formatSize } from "../lib/size.ts";
import { FileStatus } from "../protocol/file.ts";
import { FileName, toBytes, toFileName } from "../protocol/path.ts";
import { defineForeground } from "./define.ts";
import { showOwner } from "./listed.ts";
import { FilePaths, pathArgs, showName, toPaths } from "./paths.ts";

const Described = v.object({
  ...FileName.entries,
  ...FileStatus.entries,
});
type Described = v.InferOutput<typeof Described>;

export const stat = defineForeground({
  name: "stat",
  summary: "Show all that is known of files",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({
    paths: v.pipe(FilePaths, v.minLength(1, "names no path")),
    /** What a link leads to, not the link. */
    follow: v.optional(v.boolean(), false),
  }),
  positional: ["paths"],
  /** In the order of the paths, by which they are called. */
  result: v.object({ files: v.array(Described) }),

  async run({ paths, follow }, { files, signal }) {
    const found: Described[] = [];
    for (const path of paths.map(toBytes)) {
      signal.throwIfAborted();
      found.push({ ...toFileName(path), ...(await files.inspect(path, { follow })) });
    }
    return { files: found };
  },

  cli: {
    args: {
      follow: { type: "boolean", alias: "L", description: "Of a link, what it leads to" },
      ...pathArgs,
    },
    rest: "PATH ...",
    examples: [
      ["farhand stat /etc/hosts", "type, size, mode, owner, times"],
      ["farhand stat -L --json current | jq .files[0].size", "of what a link leads to"],
    ],
    toInput: (values) => ({ paths: toPaths(values), follow: values.flag("follow") }),
    show: ({ files }) => files.map(toText).join("\n\n"),
  },
});

function toText(file: Described): string {
  const lines = toLines(file).filter((line): line is [string, string] => line[1] !== undefined);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${escapeControls(value)}`).join("\n");
}

function toLines(file: Described): (readonly [name: string, value: string | undefined])[] {
  const { type, size, allocated, mode, permissions, owner, group, target } = file;
  return [
    ["path", showName(file)],
    ["type", type.replace("_", " ")],
    ["target", target && showName(target)],
    ["size", size < 1024 ? `${size} B` : `${size} B (${formatSize(size)})`],
    ["on disk", allocated === undefined ? undefined : formatSize(allocated)],
    ["mode", mode === undefined ? undefined : `${mode} (${permissions})`],
    ["owner", owner && toOwnerText(owner)],
    ["group", group && toOwnerText(group)],
    ["links", String(file.links)],
    ["device", file.deviceType],
    ["inode", `${file.inode} on ${file.device}`],
    ["modified", file.modifiedAt],
    ["accessed", file.accessedAt],
    ["changed", file.changedAt],
    ["created", file.createdAt],
  ];
}

function toOwnerText(owner: NonNullable<Described["owner"]>): string {
  return owner.name === undefined ? String(owner.id) : `${showOwner(owner)} (${owner.id})`;
}
