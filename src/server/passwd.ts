import { readFileSync } from "node:fs";

/** What passwd(5) says of a user, or group(5), which has no shell, of a group. */
export interface PasswdEntry {
  readonly name: string;
  readonly shell: string;
}

/** The users that /etc/passwd lists, by their numbers; none where there is no such file. */
export function readUsers(): ReadonlyMap<number, PasswdEntry> {
  try {
    return parsePasswd(readFileSync("/etc/passwd", "utf8"));
  } catch {
    return new Map(); // a container may have none: numbers will do
  }
}

/** Reads passwd(5) or group(5); of several names of one number the first counts. */
export function parsePasswd(text: string): ReadonlyMap<number, PasswdEntry> {
  const entries = new Map<number, PasswdEntry>();
  for (const line of text.split("\n")) {
    const [name = "", , id = "", , , , shell = ""] = line.split(":");
    if (name !== "" && /^\d+$/.test(id) && !entries.has(Number(id))) entries.set(Number(id), { name, shell });
  }
  return entries;
}
