/** What passwd(5) says of a user. */
export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** What group(5) says of a group. */
export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** A line of passwd(5), which macOS has with three fields more; undefined for any other. */
export function parseUser(line: string): UserEntry | undefined {
  const fields = line.trimEnd().split(":");
  const [name = "", , uid, gid] = fields;
  const [home = "", shell = ""] = fields.slice(-2);
  if (fields.length < 7 || name === "" || !isId(uid) || !isId(gid)) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}

/** A line of group(5); undefined for any other. */
export function parseGroup(line: string): GroupEntry | undefined {
  const [name = "", , gid, members = ""] = line.trimEnd().split(":");
  if (name === "" || !isId(gid)) return undefined;
  return { name, gid: Number(gid), members: members.split(",").filter((member) => member !== "") };
}

function isId(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,10}$/.test(text);
}
