import { dirname } from "node:path";
import { listPlaces } from "../keeper/place.ts";
import type { ServerConfig } from "./config.ts";
import type { OwnFiles } from "./files/guard.ts";

/** What a server lives on, which nobody reaches who is confined to directories. */
export function toOwnFiles({ state, file, tls }: Pick<ServerConfig, "state" | "file" | "tls">): OwnFiles {
  const sockets = listPlaces(state).map(({ socket }) => dirname(socket)); // in the state, if its path is short enough
  return {
    sealed: toPaths([state, ...sockets, file, tls.key]),
    fixed: toPaths([process.execPath, tls.cert, tls.clientCa]),
  };
}

function toPaths(paths: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(paths)].filter((path) => path !== undefined);
}
