/** How this executable is run again, as something else than it is. */
export interface Again {
  readonly argv: readonly string[];
  readonly argv0: string;
}

/** Where our executable lies, also after another took its place. */
export function findExecutable(): string {
  return process.execPath.replace(/ \(deleted\)$/, "");
}
