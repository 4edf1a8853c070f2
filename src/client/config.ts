import { readFileSync } from "node:fs";
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
 * a server that starts leaves a new token. Throws `unavailable` when there is no server, `invalid_input`.
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
    const { url, token } = v.parse(LocalServer, JSON.parse(readFileSync(path, "utf8")));
    return { host: parseHost(url), token: checkToken(token) };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    const why = error instanceof Error ? error.message : "it is no JSON";
    throw new AppError("unavailable", `Cannot read "${path}": ${why}`, { cause: error });
  }
}

function checkToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new AppError("invalid_input", "Cannot use the token: it holds a space or a character beyond ASCII");
}
