import { posix, win32 } from "node:path";

const SLASH = 0x2f;

/**
 * How this system writes paths. They are bytes from end to end, since no text holds every name that Linux allows. On Windows,
 * where names are UTF-16, they are the same in UTF-8.
 */
export interface PathStyle {
  /** The absolute path of one that counts from a directory. What it leads through is left to the system: `a/..` may be a link. */
  resolve(directory: Uint8Array, path: Uint8Array): Buffer;
  join(directory: Uint8Array, name: Uint8Array): Buffer;
  /** Where it begins, and the names on the way; a separator at its end is no name. */
  split(path: Uint8Array): { readonly root: Buffer; readonly names: readonly Buffer[] };
}

/** Linux and macOS. */
export const posixPaths: PathStyle = {
  resolve: (directory, path) => (path[0] === SLASH ? Buffer.from(path) : join(directory, path)),
  join,
  split(path) {
    const names: Buffer[] = [];
    for (let start = 0; start < path.length;) {
      const slash = path.indexOf(SLASH, start);
      const end = slash < 0 ? path.length : slash;
      if (end > start) names.push(Buffer.from(path.subarray(start, end)));
      start = end + 1;
    }
    return { root: Buffer.from(path[0] === SLASH ? "/" : ""), names };
  },
};

/** Windows: drives, and slashes both ways. */
export const windowsPaths: PathStyle = {
  resolve: (directory, path) => Buffer.from(win32.resolve(toText(directory), toText(path))),
  join: (directory, name) => Buffer.from(joinWindows(toText(directory), toText(name))),
  split(path) {
    const text = toText(path);
    const { root } = win32.parse(text);
    const names = text
      .slice(root.length)
      .split(/[\\/]+/)
      .filter((name) => name !== "");
    return { root: Buffer.from(root), names: names.map((name) => Buffer.from(name)) };
  },
};

/** The style of the system that we run on. */
export const paths: PathStyle = process.platform === "win32" ? windowsPaths : posixPaths;

/** The directory that holds what is at an absolute path; of a root, the root. */
export function toParent(path: Uint8Array, { split, join }: PathStyle = paths): Buffer {
  const { root, names } = split(path);
  return names.slice(0, -1).reduce((parent, name) => join(parent, name), root);
}

function join(directory: Uint8Array, name: Uint8Array): Buffer {
  if (directory.length === 0) return Buffer.from(name);
  const separator = directory.at(-1) === SLASH ? "" : posix.sep;
  return Buffer.concat([directory, Buffer.from(separator), name]);
}

function joinWindows(directory: string, name: string): string {
  if (directory === "" || /[\\/]$|^[A-Za-z]:$/.test(directory)) return directory + name;
  return directory + win32.sep + name;
}

function toText(path: Uint8Array): string {
  return Buffer.from(path).toString();
}
