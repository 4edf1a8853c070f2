import { dirname, sep } from "node:path";
import { listPlaces } from "../keeper/place.ts";
import { findExecutable } from "../process/again.ts";
import type { ServerConfig } from "./config.ts";
import type { OwnFiles } from "./files/marks.ts";

type Lived = Pick<ServerConfig, "state" | "file" | "tls" | "auth" | "extensions">;

const PACKAGES = `${sep}node_modules${sep}`;

/**
 * What a server lives on, which nobody reaches who is confined to directories. `inputs`: files that its modules are made of, of which
 * packages are taken together.
 */
export function toOwnFiles(
  { state, file, tls, auth, extensions }: Lived,
  inputs: readonly string[] = [],
): OwnFiles {
  const sockets = listPlaces(state).map(({ socket }) => dirname(socket)); // in the state, if its path is short enough
  const { directory, files } = extensions;
  const modules = [directory, ...files, ...inputs.map(toWhole)].filter((path) => !isIn(path, state));
  const others = modules.filter((path) => path === directory || !isIn(path, directory));
  return {
    sealed: toPaths([state, ...sockets, file, tls.key, auth.module, ...others]),
    // Where it was replaced while it runs, what will run at the next start has the same path.
    fixed: toPaths([findExecutable(), tls.cert, tls.clientCa]),
  };
}

function toWhole(path: string): string {
  const end = path.indexOf(PACKAGES);
  return end < 0 ? path : path.slice(0, end + PACKAGES.length - 1);
}

function isIn(path: string, directory: string): boolean {
  return path.startsWith(`${directory}${sep}`);
}

function toPaths(paths: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(paths)].filter((path) => path !== undefined);
}
