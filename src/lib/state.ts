import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where state is kept unless told otherwise. */
export function defaultState(env: Readonly<Record<string, string | undefined>>): string {
  if (env["FARHAND_STATE"]) return resolve(env["FARHAND_STATE"]);
  if (process.platform === "win32") return join(env["LOCALAPPDATA"] || homedir(), "farhand");
  if (process.getuid?.() === 0) return "/var/lib/farhand";
  if (env["XDG_STATE_HOME"]) return join(env["XDG_STATE_HOME"], "farhand");
  return process.platform === "darwin"
    ? join(homedir(), "Library", "Application Support", "farhand")
    : join(homedir(), ".local", "state", "farhand");
}
