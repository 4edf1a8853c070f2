import type { ServerConfig } from "./config.ts";
import type { OwnFiles } from "./files/guard.ts";

/** What a server lives on, which nobody reaches who is confined to directories. */
export function toOwnFiles({ state, file }: Pick<ServerConfig, "state" | "file">): OwnFiles {
  return { sealed: [state, file].filter((path) => path !== undefined), fixed: [process.execPath] };
}
