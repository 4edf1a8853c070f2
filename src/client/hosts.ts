import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { parseHost } from "./host.ts";
import { findOwn, checkOwnDirectory } from "./own-file.ts";
import { ClientCertificate, Trust } from "./trust.ts";
import { toMessage } from "../lib/message.ts";

/** What a host is called: also the name of a file. */
export const HostName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][\w.-]{0,62}$/, "a name is 1 to 63 letters, digits, dots, _ and -"),
);

/** A host as a client keeps it. */
export const StoredHost = v.strictObject({
  url: v.string(),
  trust: Trust,
  /** It may be reached without TLS. */
  insecure: v.optional(v.boolean()),
  client: v.optional(ClientCertificate),
  /** Who logged in there last. */
  user: v.optional(v.string()),
});
export type StoredHost = v.InferOutput<typeof StoredHost>;

export type Hosts = ReadonlyMap<string, StoredHost>;

/** A host with its name. */
export interface NamedHost extends StoredHost {
  readonly name: string;
}

const VERSION = 1;
const Book = v.object({ version: v.literal(VERSION), hosts: v.record(HostName, StoredHost) });

/** The file of all hosts, in the directory that they are kept in. */
export function toBookPath(home: string): string {
  return join(home, "hosts.json");
}

/** Where a host's token is, alone in its file. */
export function toTokenPath(home: string, name: string): string {
  return join(home, "tokens", name);
}

/** All hosts that are kept. Throws `state_unusable` where others could have written them, or where they cannot be read. */
export function readHosts(home: string): Hosts {
  const path = toBookPath(home);
  const text = findOwn(path);
  if (text === undefined) return new Map();
  checkOwnDirectory(home);
  try {
    const { hosts } = v.parse(Book, JSON.parse(text));
    return new Map(Object.entries(hosts));
  } catch (error) {
    const why = isNewer(text) ? "a newer farhand wrote it" : toMessage(error);
    const advice = "put back a copy of it, or remove it and add the hosts again";
    throw new AppError("state_unusable", `Cannot read "${path}": ${why}; ${advice}`, { cause: error });
  }
}

/** The host that is called so, or that has this address. */
export function findHost(hosts: Hosts, text: string): NamedHost | undefined {
  const known = hosts.get(text);
  if (known !== undefined) return { name: text, ...known };
  const url = findUrl(text);
  const [found] = [...hosts].filter(([, host]) => host.url === url);
  return found && { name: found[0], ...found[1] };
}

/** A host's token; undefined where there is none. Throws `state_unusable` where others can read it. */
export function findHostToken(home: string, name: string): string | undefined {
  return findOwn(toTokenPath(home, name))?.trim() || undefined;
}

function findUrl(text: string): string | undefined {
  try {
    return parseHost(text, undefined, { insecure: true }).url;
  } catch {
    return undefined; // no address: nobody is called so
  }
}

function isNewer(text: string): boolean {
  return Number(/"version": ?(\d+)/.exec(text)?.[1] ?? 0) > VERSION;
}
