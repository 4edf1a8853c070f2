/** What somebody threw, in its own words: nobody is bound to throw errors. */
export function toMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The same of an error of the system's, without the call that failed and its path, which those end with. */
export function toBareMessage(error: unknown): string {
  return toMessage(error).replace(/, \w+( '.*)?$/s, "");
}
