import { mkdirSync, readdirSync, lstatSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { FileAccess } from "../../src/commands/access/files.ts";
import type { Confinement } from "../../src/server/files/confinement.ts";
import { Files } from "../../src/server/files/files.ts";
import type { OwnFiles } from "../../src/server/files/marks.ts";
import { openDirectory, type TestDirectory } from "./directory.ts";

/** A directory, and the server's access to what is in it. */
export interface Ground extends Disposable {
  readonly path: string;
  readonly files: FileAccess;
  /** As the files are confined, for another call. */
  readonly confinement: () => Confinement | undefined;
  /** The path of something in it. */
  readonly at: (name: string) => string;
  /** Writes a file in it. */
  readonly put: (name: string, content?: string | Uint8Array) => string;
  readonly get: (name: string) => string;
  readonly names: (name?: string) => string[];
  readonly mode: (name: string) => number;
}

export const never: AbortSignal = new AbortController().signal;

export interface GroundOptions {
  readonly umask?: number;
  /** On another file system than usual. */
  readonly on?: TestDirectory;
  /** Names of directories in it, of which one of each list must hold everything. */
  readonly roots?: readonly (readonly string[])[];
  /** What is the server's own. */
  readonly own?: (at: (name: string) => string) => OwnFiles;
}

/** A server that has no files of its own. */
export const nothing = (): OwnFiles => ({ sealed: [], fixed: [] });

export function openGround({ umask = 0o022, on, roots, own = nothing }: GroundOptions = {}): Ground {
  const directory = on ?? openDirectory();
  const at = (name: string) => join(directory.path, name);
  // As the server has it: what is made must not depend on it.
  const former = process.umask(0o077);
  const files = new Files({ umask, own: () => own(at) });
  const lists = roots?.map((list) => list.map((name) => (isAbsolute(name) ? name : at(name))));
  const confinement = files.confine(lists);
  return {
    path: directory.path,
    files: files.access(Buffer.from(directory.path), never, confinement),
    confinement: () => files.confine(lists),
    at,
    put(name, content = name) {
      mkdirSync(join(at(name), ".."), { recursive: true });
      writeFileSync(at(name), content);
      return at(name);
    },
    get: (name) => readFileSync(at(name), "utf8"),
    names: (name = ".") => readdirSync(at(name)).sort(),
    mode: (name) => lstatSync(at(name)).mode & 0o7777,
    [Symbol.dispose]() {
      process.umask(former);
      directory[Symbol.dispose]();
    },
  };
}

/** A path as commands give it. */
export function bytes(path: string): Buffer {
  return Buffer.from(path);
}

export async function* chunks(...texts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === "string" ? Buffer.from(text) : text;
}

/** What it rejects with, as a caller is told. */
export async function refusalOf(
  promise: Promise<unknown>,
): Promise<{ os: unknown; path: unknown; message: string }> {
  const error = await promise.then(
    () => new Error("It was not refused"),
    (error: unknown) => error,
  );
  if (!(error instanceof Error)) throw new Error("It threw no error");
  const details: Record<string, unknown> =
    "details" in error ? (error.details as Record<string, unknown>) : {};
  return { os: details?.["os"], path: details?.["path"], message: error.message };
}

/** All that is in a tree: names, modes, contents, targets and times. */
export function describeTree(path: string | Buffer): unknown {
  const stats = lstatSync(path, { bigint: true });
  const mode = (stats.mode & 0o1777n).toString(8);
  if (stats.isSymbolicLink()) return { link: readlinkSync(path, "hex"), time: stats.mtimeNs };
  if (stats.isFile()) return { mode, time: stats.mtimeNs, content: readFileSync(path, "hex") };
  if (!stats.isDirectory()) return "other";
  const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  const below = (name: Buffer) => Buffer.concat([Buffer.from(path), bytes("/"), name]);
  const entries = names.map((name) => [name.toString("hex"), describeTree(below(name))]);
  return { mode, time: stats.mtimeNs, entries };
}
