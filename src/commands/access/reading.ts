import type { FileStatus, FileType } from "../../protocol/file.ts";

/** What a directory says of one thing in it. */
export interface Entry {
  readonly name: Uint8Array;
  readonly type: FileType;
}

/** A file that is open for reading. Disposing closes it. */
export interface OpenFile extends AsyncDisposable {
  /** As it was when it was opened. */
  readonly status: FileStatus;
  /** As it is now. */
  inspect(): Promise<FileStatus>;
  /** The bytes from a position on, fewer than so many where the file ends, and none at its end. */
  read(position: number, bytes: number): Promise<Uint8Array>;
}

/** What can be learnt of files. */
export interface FileReading {
  /** What stands at a path: a link itself or, with `follow`, what it leads to. */
  inspect(path: Uint8Array, options?: { readonly follow?: boolean }): Promise<FileStatus>;
  /** What is in a directory, sorted by the bytes of the names. Nothing else waits while many are sorted. */
  list(directory: Uint8Array, signal: AbortSignal): AsyncIterable<Entry>;
  /** Opens a regular file. Refuses whatever might never answer, such as a FIFO or a device, without touching it. */
  open(path: Uint8Array): Promise<OpenFile>;
  /** The path with something in it appended. */
  join(directory: Uint8Array, name: Uint8Array): Uint8Array;
  /** The steps of a path: what it begins at (`/`, `C:\`, or nothing), and the names on the way. */
  split(path: Uint8Array): { readonly root: Uint8Array; readonly names: readonly Uint8Array[] };
}
