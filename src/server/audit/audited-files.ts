import type { FileAccess } from "../../commands/access/files.ts";
import { toErrorBody } from "../../protocol/error.ts";
import { fromBytes } from "../../protocol/path.ts";
import { paths } from "../files/path.ts";
import type { Recorder } from "./audit.ts";

/** Files whose every change is taken down: what became of which path, also where it failed half-way. `directory`: absolute. */
export function auditFiles(
  files: FileAccess,
  directory: Uint8Array,
  { note }: Pick<Recorder, "note">,
): FileAccess {
  const toPath = (path: Uint8Array) => fromBytes(paths.resolve(directory, path));
  const taken = async <T>(
    action: string,
    where: Readonly<Record<string, Uint8Array>>,
    change: Promise<T>,
    toMore: (done: T) => object,
  ): Promise<T> => {
    const named = Object.entries(where).map(([name, path]) => [name, toPath(path)] as const);
    const fields = { action, ...Object.fromEntries(named) };
    try {
      const done = await change;
      note("file", { ...fields, ...toMore(done), outcome: "ok" });
      return done;
    } catch (error) {
      const { code, message } = toErrorBody(error);
      note("file", { ...fields, outcome: code, message });
      throw error;
    }
  };
  return {
    ...files,
    makeDirectory: (path, how) =>
      taken("make_directory", { path }, files.makeDirectory(path, how), ({ length: made }) => ({ made })),
    touch: (path) => taken("touch", { path }, files.touch(path), (created) => ({ created })),
    remove: (path, how, signal) =>
      taken("remove", { path }, files.remove(path, how, signal), (removed) => ({ removed })),
    write: (path, content, how, signal) =>
      taken("write", { path }, files.write(path, content, how, signal), ({ bytes, created }) => ({
        manner: how.manner,
        bytes,
        created,
      })),
    copy: (path, to, how, signal) =>
      taken("copy", { path, to }, files.copy(path, to, how, signal), ({ files, bytes }) => ({
        files,
        bytes,
      })),
    move: (path, to, how, signal) =>
      taken("move", { path, to }, files.move(path, to, how, signal), ({ kept }) => ({ kept })),
  };
}
