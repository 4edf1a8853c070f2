const RUN_AS = /^[\w][\w.-]*(?::[\w][\w.-]*)?$/;

/** Why nothing can be done as whom a configuration names so, as a sentence that tells what to write. */
export function findRunAsFault(runAs: string): string | undefined {
  if (!RUN_AS.test(runAs)) return "write user or user:group";
  return /^(root|0+)(:|$)/.test(runAs) ? "nobody becomes root by it; leave it out for that" : undefined;
}
