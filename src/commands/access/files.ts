/**
 * The server's files. Every path is one as callers write it, and counts from the call's workspace. What the system refuses
 * is an `os_error`.
 */
export interface FileAccess {}
