import { userInfo } from "node:os";
import type { Account } from "../../protocol/machine.ts";
import { readUsers } from "../passwd.ts";
import { readOutput } from "./output.ts";

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
