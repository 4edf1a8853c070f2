import { lstatSync, rmSync } from "node:fs";
import { AppError } from "../protocol/error.ts";
import { toErrorCode } from "../lib/error-code.ts";

/** The mode of a socket that only its owner may connect to. */
const PRIVATE = 0o600;

/** Makes way for a socket: one on which nobody answers is removed. Throws `unavailable` for anything else that is there. */
export async function clearSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw refused(path, "there is something that is no socket; move it away");
  if (await isAnswered(path))
    throw refused(path, "another server answers there; choose another with --listen");
  rmSync(path, { force: true });
}

/** Has `open` make a socket that only this user may connect to, from its first moment on. Throws `unavailable`. */
export function openPrivately<T>(open: () => T): T {
  const umask = process.umask(0o777 & ~PRIVATE);
  try {
    return open();
  } finally {
    process.umask(umask);
  }
}

/** Answers what serves a socket, unless others may connect to that, as on file systems without modes: then it is ended. Throws `unavailable`. */
export function checkPrivate<T extends { stop(force: true): unknown }>(path: string, server: T): T {
  if (process.platform === "win32") return server;
  const { mode, uid } = lstatSync(path);
  if ((mode & 0o777) === PRIVATE && uid === process.geteuid?.()) return server;
  server.stop(true);
  throw refused(path, "its file system cannot keep others from it; choose another with --listen");
}

async function isAnswered(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch (error) {
    // Whatever else keeps us from it does not tell that nobody is there.
    const code = toErrorCode(error);
    return code !== "ECONNREFUSED" && code !== "ENOENT";
  }
}

function refused(path: string, why: string): AppError {
  return new AppError("unavailable", `Cannot listen on unix:${path}: ${why}`);
}
