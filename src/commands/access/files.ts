import type { MountAccess } from "./mounts.ts";
import type { FileReading } from "./reading.ts";
import type { FileWriting } from "./writing.ts";

/**
 * The server's files. A path is the bytes that a caller wrote, and counts from the directory of the call's workspace. What the
 * system refuses is an `os_error`, whose details hold its code and the path as it was written.
 */
export interface FileAccess extends FileReading, FileWriting, MountAccess {}
