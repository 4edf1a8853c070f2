import { join } from "node:path";
import * as v from "valibot";
import { defaultConfigHome } from "../lib/config-home.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { toMessage } from "../lib/message.ts";
import { defaultState } from "../lib/state.ts";
import { AppError } from "../protocol/error.ts";
import { LocalServer } from "../protocol/local.ts";
import type { Pin } from "../protocol/pin.ts";
import { type Host, isSameLocal, isThisMachine, parseHost } from "./host.ts";
import { findHost, findHostToken, type NamedHost, readHosts } from "./hosts.ts";
import { readOwn } from "./own-file.ts";
import type { ClientCertificate, Trust } from "./trust.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line or a program says of where to connect; it comes before the environment, and that before what is kept. */
export interface Place {
  /** The name of a host that is kept, or an address. */
  readonly host?: string | undefined;
  readonly token?: string | undefined;
  readonly state?: string | undefined;
  /** A file of the authorities that may vouch for the server. */
  readonly ca?: string | undefined;
  /** The only key that the server may have. */
  readonly pin?: Pin | undefined;
  /** Go without TLS where the address says so. */
  readonly insecure?: boolean | undefined;
  /** Files by which we prove who we are. */
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
}

/** Where to connect now, with which token, and by what the server is known. */
export interface Target {
  readonly host: Host;
  readonly token: string | undefined;
  /** The token, or that there is none, is this start's of a server on this machine: the next attempt may find another. */
  readonly isLocal: boolean;
  /** The name under which the host is kept. */
  readonly name?: string | undefined;
  /** By what the server is known where it has TLS (default: what this machine's authorities vouch for). */
  readonly trust?: Trust | undefined;
  readonly client?: ClientCertificate | undefined;
  /** Keeps the certificate that the owner of the pinned key shows now. */
  readonly keep?: ((certificate: string) => void) | undefined;
}

/**
 * Finds the server: the one that is named, else this user's own on this machine. To be asked before every attempt, since
 * a server that starts leaves a new token. Throws `unavailable` when there is no server, `state_unusable` when others may
 * have written what it left, or the hosts that are kept, `invalid_input`.
 */
export function findTarget(place: Place, env: Environment): Target {
  const name = place.host ?? (env["FARHAND_HOST"] || undefined);
  const token = checkToken(place.token ?? (env["FARHAND_TOKEN"] || undefined));
  const state = place.state ?? defaultState(env);
  const client = toClient(place);
  if (name === undefined) return { ...findLocal(state, token), client };
  const home = defaultConfigHome(env);
  const kept = findHost(readHosts(home), name);
  const insecure = place.insecure ?? kept?.insecure;
  const trust = toTrust(place, kept?.trust, env);
  const target = {
    host: parseHost(kept?.url ?? name, undefined, { insecure }),
    name: kept?.name,
    trust,
    client: client ?? kept?.client,
    ...(kept?.trust === trust &&
      kept && { keep: (certificate: string) => startKeeping(home, kept, certificate) }),
  };
  const own = token ?? (kept && checkToken(findHostToken(home, kept.name)));
  if (own !== undefined) return { ...target, token: own, isLocal: false };
  const local = readLocal(state);
  if (local === undefined || !isSameLocal(target.host, local.host))
    return { ...target, token: undefined, isLocal: isThisMachine(target.host) };
  return { ...target, ...local, isLocal: true };
}

/**
 * By what a server is known: as options say, else as it is kept. The environment may only name other authorities than this
 * machine's: a host that is known by its key stays so.
 */
function toTrust({ pin, ca }: Place, kept: Trust | undefined, env: Environment): Trust | undefined {
  if (pin !== undefined) return { type: "pin", pin };
  if (ca !== undefined) return { type: "ca", file: ca };
  if (kept !== undefined && kept.type !== "system") return kept;
  return env["FARHAND_CA"] ? { type: "ca", file: env["FARHAND_CA"] } : kept;
}

/** Our certificate, as it is told. Throws `invalid_input` for one without its key. */
export function toClient({ clientCert, clientKey }: Place): ClientCertificate | undefined {
  if (clientCert === undefined && clientKey === undefined) return undefined;
  if (clientCert !== undefined && clientKey !== undefined) return { certificate: clientCert, key: clientKey };
  const missing = clientCert === undefined ? "--client-cert" : "--client-key";
  throw new AppError(
    "invalid_input",
    `Cannot use a client certificate without its other half: give ${missing} too`,
  );
}

/** Runs by itself. What cannot be kept is looked at again next time. */
function startKeeping(home: string, { name, trust }: NamedHost, certificate: string): void {
  if (trust.type !== "pin") return;
  const { pin } = trust;
  const keep = async () => {
    const { HostBook } = await import("./host-book.ts");
    new HostBook(home).keepCertificate(name, pin, certificate);
  };
  keep().catch(() => {}); // as it says above
}

function findLocal(state: string, token: string | undefined): Target {
  const local = readLocal(state);
  if (local === undefined) {
    throw new AppError(
      "unavailable",
      `Cannot find a server: none has left its address in "${state}"; start one with farhandd start, or name one with -H`,
    );
  }
  return token === undefined ? { ...local, isLocal: true } : { ...local, token, isLocal: false };
}

/** What the server on this machine left. Read at once, not asynchronously: a one-shot command waits for nothing else. */
function readLocal(state: string): Pick<Target, "host" | "token"> | undefined {
  const path = join(state, "local.json");
  try {
    const { url, token } = v.parse(LocalServer, JSON.parse(readOwn(path)));
    return { host: parseHost(url), token: checkToken(token) };
  } catch (error) {
    if (error instanceof AppError && error.code === "state_unusable") throw error;
    if (toErrorCode(error) === "ENOENT") return undefined;
    throw new AppError("unavailable", `Cannot read "${path}": ${toMessage(error)}`, { cause: error });
  }
}

function checkToken(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new AppError("invalid_input", "Cannot use the token: it holds a space or a character beyond ASCII");
}
