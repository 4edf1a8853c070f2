import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { Account } from "../../protocol/machine.ts";
import { readOutput } from "./output.ts";

/** What passwd(5) says of a user. */
export interface User {
  readonly name: string;
  readonly shell: string;
}

/** The users that /etc/passwd lists, by their numbers; none where there is no such file. */
export function readUsers(): ReadonlyMap<number, User> {
  try {
    return parseUsers(readFileSync("/etc/passwd", "utf8"));
  } catch {
    return new Map(); // a container may have none: numbers will do
  }
}

/** Reads a passwd(5); of several users of one number, the first. */
export function parseUsers(text: string): ReadonlyMap<number, User> {
  const users = new Map<number, User>();
  for (const line of text.split("\n")) {
    const [name = "", , uid = "", , , , shell = ""] = line.split(":");
    if (name !== "" && /^\d+$/.test(uid) && !users.has(Number(uid))) users.set(Number(uid), { name, shell });
  }
  return users;
}

/** As whom we run, with or without a terminal. A number that has no name, as in many containers, is its own. */
export async function readAccount(signal: AbortSignal): Promise<Account> {
  const uid = process.geteuid?.();
  if (uid === undefined) return { name: userInfo().username };
  const name = readUsers().get(uid)?.name ?? (await askName(signal));
  return { name: name ?? String(uid), uid };
}

/** Users may be listed elsewhere: by a directory service, or by macOS. */
async function askName(signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await readOutput(["id", "-un"], signal)).toString().trim() || undefined;
  } catch {
    signal.throwIfAborted();
    return undefined; // nobody knows one
  }
}

/** The login shell of the user as whom we run, as far as that is known. */
export function findShell(): string {
  if (process.platform === "win32") return process.env["COMSPEC"] || "cmd.exe";
  const listed = readUsers().get(process.geteuid?.() ?? 0)?.shell;
  return listed || process.env["SHELL"] || "/bin/sh";
}
