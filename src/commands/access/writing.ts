import type { FileType } from "../../protocol/file.ts";

/** How a directory is made. */
export interface Creation {
  /** Those that it is in too. */
  readonly parents: boolean;
  /** A directory that is there already will do. */
  readonly mayExist: boolean;
  /** Exactly this mode; what the server's umask leaves of 0777 otherwise. */
  readonly mode: number | undefined;
}

export interface Removal {
  /** A directory with all that is in it. */
  readonly recursive: boolean;
}

/** How bytes become a file: in the place of what it held, behind that, or only if there is nothing yet. */
export type Manner = "replace" | "append" | "create";

export interface Writing {
  readonly manner: Manner;
  /** Exactly this mode; otherwise that of what is replaced, or what the server's umask leaves of 0666. */
  readonly mode: number | undefined;
}

export interface Written {
  readonly bytes: number;
  /** Nothing was there before. */
  readonly created: boolean;
}

/** Where something goes. */
export interface Destination {
  /** The path must be a directory, to hold it. Otherwise it holds it if it is one, and is its new name if not. */
  readonly into: boolean;
  /** Leave alone what is there already. */
  readonly keep: boolean;
}

export interface Copying extends Destination {
  /** A directory with all that is in it. */
  readonly recursive: boolean;
}

/** Something that is no file, directory or link is never copied. */
export interface Skipped {
  readonly path: Uint8Array;
  readonly type: FileType;
}

export interface Copied {
  /** Where it is now. */
  readonly to: Uint8Array;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files, holes included. */
  readonly bytes: number;
  /** What was there already, and left alone. */
  readonly kept: number;
  /** How many were skipped, and the first of them. */
  readonly skipped: number;
  readonly skips: readonly Skipped[];
}

export interface Moved {
  readonly to: Uint8Array;
  /** Something was there, and left alone. */
  readonly kept: boolean;
}

/** What can be changed of files. Whatever stops on the way says how far it came. */
export interface FileWriting {
  /** Makes a directory, and answers what was made, the outermost first. */
  makeDirectory(path: Uint8Array, how: Creation): Promise<readonly Uint8Array[]>;
  /** Makes an empty file, or sets the time of one to now. Answers whether it was made. */
  touch(path: Uint8Array): Promise<boolean>;
  /**
   * Removes what is at a path, and answers how much that was. Refuses `/`, the workspace's own directory and what that is in,
   * and without `recursive` a directory with something in it. A link is removed, never what it leads to.
   */
  remove(path: Uint8Array, how: Removal, signal: AbortSignal): Promise<number>;
  /**
   * Writes a file. Through a link it writes what that leads to. Unless it appends, the file changes at once when all is
   * written, and not at all if that never comes.
   */
  write(
    path: Uint8Array,
    content: AsyncIterable<Uint8Array>,
    how: Writing,
    signal: AbortSignal,
  ): Promise<Written>;
  /** Copies with modes and times. A link is copied as a link. */
  copy(from: Uint8Array, to: Uint8Array, how: Copying, signal: AbortSignal): Promise<Copied>;
  /** Renames or, to another file system, copies and then removes. */
  move(from: Uint8Array, to: Uint8Array, how: Destination, signal: AbortSignal): Promise<Moved>;
}
