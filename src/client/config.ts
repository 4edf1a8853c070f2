import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { defaultState } from "../lib/state.ts";
import { AppError } from "../protocol/error.ts";
import { LocalServer } from "../protocol/local.ts";
import { type Host, isSameLocal, parseHost } from "./host.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line or a program says of where to connect; it comes before the environment. */
export interface Place {
  readonly host?: string | undefined;
  readonly token?: string | undefined;
  readonly state?: string | undefined;
}

/** Where to connect now, and with which token. */
export interface Target {
  readonly host: Host;
  readonly token: string | undefined;
  /** The token, or that there is none, is this start's of a server on this machine: the next attempt may find another. */
  readonly isLocal: boolean;
}

/**
 * Finds the server: the one that is named, else this user's own on this machine. To be asked before every attempt, since
 * a server that starts leaves a new token. Throws `unavailable` when there is no server, `state_unusable` when others may
 * have written what it left, `invalid_input`.
 */
export function findTarget(place: Place, env: Environment): Target {
  const name = place.host ?? (env["FARHAND_HOST"] || undefined);
  const token = checkToken(place.token ?? (env["FARHAND_TOKEN"] || undefined));
  const state = place.state ?? defaultState(env);
  if (name === undefined) return findLocal(state, token);
  const host = parseHost(name);
  if (token !== undefined) return { host, token, isLocal: false };
  const local = readLocal(state);
  if (local === undefined || !isSameLocal(host, local.host)) return { host, token, isLocal: true };
  return { ...local, isLocal: true };
}

function findLocal(state: string, token: string | undefined): Target {
  const local = readLocal(state);
  if (local === undefined) {
    throw new AppError(
      "unavailable",
      `Cannot find a server: none has left its address in "${state}"; start one with farhandd start, or name one with -H`,
    );
  }
  return token === undefined ? { ...local, isLocal: true } : { host: local.host, token, isLocal: false };
}

/** What the server on this machine left. Read at once, not asynchronously: a one-shot command waits for nothing else. */
function readLocal(state: string): { host: Host; token: string | undefined } | undefined {
  const path = join(state, "local.json");
  try {
    const { url, token } = v.parse(LocalServer, JSON.parse(readOwn(path)));
    return { host: parseHost(url), token: checkToken(token) };
  } catch (error) {
    if (error instanceof AppError && error.code === "state_unusable") throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    const why = error instanceof Error ? error.message : "it is no JSON";
    throw new AppError("unavailable", `Cannot read "${path}": ${why}`, { cause: error });
  }
}

/** Reads a file that says whom to trust with what we send. Throws `state_unusable` where others may have written it. */
function readOwn(path: string): string {
  const fd = openSync(path, "r");
  try {
    checkOwn(path, fstatSync(fd));
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/** As ssh has it: the user's own or root's, also where root asks, and closed to everybody else. */
function checkOwn(path: string, { uid, mode }: { readonly uid: number; readonly mode: number }): void {
  const own = process.getuid?.();
  if (own === undefined) return; // Windows, which has no such modes
  if (uid !== own && uid !== 0) {
    throw new AppError(
      "state_unusable",
      `Cannot use "${path}": it belongs to user ${uid}, not ${own}; run farhand as that user`,
    );
  }
  if ((mode & 0o077) !== 0) {
    throw new AppError(
      "state_unusable",
      `Cannot use "${path}": others may read or change it; run chmod 600 '${path}'`,
    );
  }
}

function checkToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new AppError("invalid_input", "Cannot use the token: it holds a space or a character beyond ASCII");
}
