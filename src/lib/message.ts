/** What somebody threw, in its own words: nobody is bound to throw errors. */
export function toMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
