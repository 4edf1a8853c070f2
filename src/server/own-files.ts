import { dirname } from "node:path";
import { listPlaces } from "../keeper/place.ts";
import { findExecutable } from "../process/again.ts";
import type { ServerConfig } from "./config.ts";
import type { OwnFiles } from "./files/marks.ts";

type Lived = Pick<ServerConfig, "state" | "file" | "tls" | "auth">;

/** What a server lives on, which nobody reaches who is confined to directories. */
export function toOwnFiles({ state, file, tls, auth }: Lived): OwnFiles {
  const sockets = listPlaces(state).map(({ socket }) => dirname(socket)); // in the state, if its path is short enough
  return {
    sealed: toPaths([state, ...sockets, file, tls.key, auth.module]),
    // Where it was replaced while it runs, what will run at the next start has the same path.
    fixed: toPaths([findExecutable(), tls.cert, tls.clientCa]),
  };
}

function toPaths(paths: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(paths)].filter((path) => path !== undefined);
}
