import { readFileSync } from "node:fs";
import { readOutput } from "../machine/output.ts";
import { type GroupEntry, parseGroup, parseUser, type UserEntry } from "./entry.ts";

/** Milliseconds for which a directory of users that is somewhere else may keep a call waiting. */
const PATIENCE = 5_000;

/** The users and groups that the machine knows, whoever tells it of them. Names are of the safe kind, or numbers. */
export interface Directory {
  findUser(key: string): Promise<UserEntry | undefined>;
  findGroup(key: string): Promise<GroupEntry | undefined>;
  /** All groups that a user is in, his primary one among them. */
  listGroups(user: UserEntry): Promise<readonly number[]>;
}

/** The machine's own: its files first, and then whoever its C library asks, such as a directory service. */
export const directory: Directory = {
  async findUser(key) {
    const own = readLines("/etc/passwd").flatMap((line) => parseUser(line) ?? []);
    const found = own.find(({ name }) => name === key) ?? own.find(({ uid }) => String(uid) === key);
    return found ?? parseUser(await ask("passwd", key));
  },
  async findGroup(key) {
    const own = readLines("/etc/group").flatMap((line) => parseGroup(line) ?? []);
    const found = own.find(({ name }) => name === key) ?? own.find(({ gid }) => String(gid) === key);
    return found ?? parseGroup(await ask("group", key));
  },
  async listGroups(user) {
    // A group may list a user of the machine's own in a directory somewhere else.
    const told = await read(["id", "-G", user.name]);
    if (told !== undefined) return told.split(/\s+/).filter(Boolean).map(Number);
    const own = readLines("/etc/group").flatMap((line) => parseGroup(line) ?? []);
    return [user.gid, ...own.flatMap(({ gid, members }) => (members.includes(user.name) ? [gid] : []))];
  },
};

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return []; // a container may have none
  }
}

/** The line of one entry, or nothing. */
async function ask(database: "passwd" | "group", key: string): Promise<string> {
  const told =
    process.platform === "darwin" ? await askDarwin(database, key) : await read(["getent", database, key]);
  return told?.split("\n")[0] ?? "";
}

/** macOS has its users and groups in a directory service of its own, and no getent(1). */
async function askDarwin(database: "passwd" | "group", key: string): Promise<string | undefined> {
  if (database === "passwd") return await read(["/usr/bin/id", "-P", key]);
  if (/^\d+$/.test(key)) return `${key}:*:${key}:`;
  const told = await read(["/usr/bin/dscl", "/Search", "-read", `/Groups/${key}`, "PrimaryGroupID"]);
  const [, gid] = /^PrimaryGroupID: (\d+)$/m.exec(told ?? "") ?? [];
  return gid && `${key}:*:${gid}:`;
}

/** What a program says; undefined where it fails or there is none, as in musl's smallest systems. Throws when it takes too long. */
async function read(argv: readonly string[]): Promise<string | undefined> {
  const late = AbortSignal.timeout(PATIENCE);
  try {
    return (await readOutput(argv, late)).toString();
  } catch {
    late.throwIfAborted();
    return undefined;
  }
}
