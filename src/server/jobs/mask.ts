import type { Program } from "../../commands/define.ts";

/** What stands in records in place of a secret. */
const MASK = "***";

/** The argv of a program as records show it: what it says itself, or without the values of its secrets. */
export function toRecorded({
  argv,
  recorded,
  secrets = [],
}: Pick<Program, "argv" | "recorded" | "secrets">): readonly string[] {
  if (recorded !== undefined) return recorded;
  // The longest first: another may be a part of it.
  const values = secrets.filter((value) => value !== "").toSorted((one, other) => other.length - one.length);
  if (values.length === 0) return argv;
  return argv.map((word) => values.reduce((shown, value) => shown.replaceAll(value, MASK), word));
}
