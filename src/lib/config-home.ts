import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where a client keeps the hosts that it knows, and their tokens. */
export function defaultConfigHome(env: Readonly<Record<string, string | undefined>>): string {
  if (env["FARHAND_CONFIG_HOME"]) return resolve(env["FARHAND_CONFIG_HOME"]);
  if (process.platform === "win32") return join(env["APPDATA"] || homedir(), "farhand");
  // Also on macOS, where other tools of the command line have theirs, and where Application Support holds a server's state.
  return join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "farhand");
}
