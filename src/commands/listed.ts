import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { FileStatus, FileType, type Owner } from "../protocol/file.ts";
import { FileName, toFileName } from "../protocol/path.ts";
import { showName } from "./paths.ts";

const { type: _type, ...details } = v.partial(FileStatus).entries;

/** A file in a list: what it is called, what it is and, where that was asked for, all that is known of it. */
export const ListedFile = v.object({
  ...FileName.entries,
  /** Where it is, where that does not go without saying; in the caller's words, and with its bytes where it is no UTF-8. */
  path: v.optional(v.string()),
  pathBytes: v.optional(v.pipe(v.string(), v.base64())),
  type: FileType,
  ...details,
});
export type ListedFile = v.InferOutput<typeof ListedFile>;

/** Something that was found, at a path in the caller's words. */
export interface Found {
  readonly path: Uint8Array;
  readonly name: Uint8Array;
  readonly type: FileType;
}

/** A file for a list. `saysPath`: whether its name alone would not do. */
export function toListed({ path, name, type }: Found, saysPath: boolean, status?: FileStatus): ListedFile {
  return { ...toFileName(name), ...(saysPath && toPathFields(path)), type, ...status };
}

function toPathFields(path: Uint8Array): Pick<ListedFile, "path" | "pathBytes"> {
  const { name, nameBytes } = toFileName(path);
  return nameBytes === undefined ? { path: name } : { path: name, pathBytes: nameBytes };
}

/** One line: its path or name or, where its details are known, those in columns before it. */
export function showListed(file: ListedFile): string {
  const { path, pathBytes, name, nameBytes } = file;
  const shown =
    path === undefined
      ? showName({ name, ...(nameBytes && { nameBytes }) })
      : showName({ name: path, ...(pathBytes && { nameBytes: pathBytes }) });
  if (file.modifiedAt === undefined) return shown;
  const target = file.target === undefined ? "" : ` -> ${showName(file.target)}`;
  return `${escapeControls(toColumns(file))} ${shown}${target}`;
}

/** Columns are as wide as most need them, since what follows is not known yet. */
function toColumns({
  type,
  permissions,
  links,
  owner,
  group,
  size,
  deviceType,
  modifiedAt,
}: ListedFile): string {
  return [
    `${LETTERS[type]}${permissions ?? ""}`,
    String(links ?? "").padStart(3),
    ...(owner === undefined ? [] : [showOwner(owner).padEnd(8)]),
    ...(group === undefined ? [] : [showOwner(group).padEnd(8)]),
    (deviceType ?? String(size ?? "")).padStart(12),
    `${(modifiedAt ?? "").slice(0, 19)}Z`,
  ].join(" ");
}

/** By its name, or by its number where it has none. */
export function showOwner({ id, name }: Owner): string {
  return name ?? String(id);
}

/** What ls(1) and find(1) call the types. */
export const LETTERS = {
  file: "-",
  directory: "d",
  link: "l",
  fifo: "p",
  socket: "s",
  block_device: "b",
  character_device: "c",
  unknown: "?",
} as const satisfies Record<FileType, string>;
