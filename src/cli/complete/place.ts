import { type Environment, findTarget, type Place } from "../../client/config.ts";
import { dial } from "../../client/dial.ts";
import { readOwn } from "../../client/own-file.ts";
import type { Session } from "../../client/session.ts";
import { findWorkspace } from "../../client/workspace.ts";
import type { Globals } from "../globals.ts";
import type { Position } from "./position.ts";

/** Milliseconds that a server has to answer: a shell stands still meanwhile. */
export const PATIENCE = 800;

/** Where to connect, and which workspace is meant. */
type Wanted = Place & Pick<Globals, "workspace">;

/** Options on the line that is completed come before those that the script was given. */
export function toPlace(given: Position["given"], globals: Globals): Wanted {
  const tokenFile = given.get("token-file");
  return {
    host: given.get("host") ?? globals.host,
    state: given.get("state") ?? globals.state,
    workspace: given.get("workspace") ?? globals.workspace,
    ca: given.get("ca") ?? globals.ca,
    clientCert: given.get("client-cert") ?? globals.clientCert,
    clientKey: given.get("client-key") ?? globals.clientKey,
    ...(tokenFile !== undefined && { token: readOwn(tokenFile).trim() }),
  };
}

/** Connects there without a word to anybody. Throws as connecting does. */
export async function connect(place: Wanted, env: Environment, signal: AbortSignal): Promise<Session> {
  return await dial(() => findTarget(place, env), {
    workspace: findWorkspace(place.workspace, env),
    patience: PATIENCE,
    reconnect: 0,
    signal,
  });
}
