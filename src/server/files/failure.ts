import { toErrorCode } from "../../lib/error-code.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import { toFileName } from "../../protocol/path.ts";
import { OutsideError } from "./outside.ts";

/** What the usual refusals of a file system mean, as the rest of a sentence. */
const SENTENCES: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EAGAIN: "it is busy",
  EBADF: "it is not open any more",
  EBUSY: "it is in use",
  EDQUOT: "the disk quota is used up",
  EEXIST: "it exists already",
  EFBIG: "it would be too large",
  EINVAL: "the system cannot do that here",
  EIO: "the disk failed",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "the server has too many files open",
  EMLINK: "it has too many links",
  ENAMETOOLONG: "the name is too long",
  ENFILE: "the machine has too many files open",
  ENODEV: "there is no such device",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on the device",
  ENOTDIR: "it, or something on the way to it, is no directory",
  ENOTEMPTY: "the directory is not empty",
  ENOTSUP: "the file system does not support that",
  ENXIO: "there is no such device, or nobody reads it",
  EOPNOTSUPP: "the file system does not support that",
  EPERM: "the system does not permit that",
  EROFS: "the file system is read-only",
  ESTALE: "the file server does not know it any more",
  ETXTBSY: "it is a program that is running",
  EXDEV: "it would be on another file system",
};

/**
 * What the system refused, as callers are told: `Cannot read "x": no such file or directory (ENOENT)`. `action`: the verb that
 * failed. `path`: as the caller wrote it. Where he may not go is `forbidden`. Anything else is answered as it is.
 */
export function toFailure(action: string, path: Uint8Array, error: unknown): unknown {
  if (error instanceof OutsideError) return toForbidden(action, path, error);
  const os = toSystemCode(error);
  if (os === undefined) return error;
  return refusal(os, `Cannot ${action} "${escapeBytes(path)}": ${describeCode(os)}`, path, error);
}

/** What may not be done, whether there is something or not. It says no more than the path as the caller wrote it. */
function toForbidden(action: string, path: Uint8Array, { fault }: OutsideError): AppError {
  const sentence = `Cannot ${action} "${escapeBytes(path)}": it ${fault}`;
  return new AppError("forbidden", sentence, { details: toPathDetails(path) });
}

/** A refusal with a sentence of its own. `os`: the code by which the system would say it. */
export function refusal(os: string, sentence: string, path: Uint8Array, cause?: unknown): AppError {
  return new AppError("os_error", sentence, { details: { os, ...toPathDetails(path) }, cause });
}

/** What one code means, with the code: `permission denied (EACCES)`. */
export function describeCode(os: string): string {
  return `${SENTENCES[os] ?? "the system refused"} (${os})`;
}

/** The code of an error that the system raised, such as `ENOENT`; undefined for any other error. */
export function toSystemCode(error: unknown): string | undefined {
  const code = error instanceof AppError ? undefined : toErrorCode(error);
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** A path in an error's details: `path`, and `pathBytes` where it is no UTF-8. */
export function toPathDetails(path: Uint8Array): { readonly path: string; readonly pathBytes?: string } {
  const { name, nameBytes } = toFileName(path);
  return nameBytes === undefined ? { path: name } : { path: name, pathBytes: nameBytes };
}
