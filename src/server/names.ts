import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { AppError } from "../protocol/error.ts";
import { toPlainHost } from "./listen.ts";
import type { ServerConfig } from "./config.ts";

const HOSTS = "/etc/hosts";

/** What may stand in a URL and in a certificate. */
const NAME = /^[a-z0-9_]([\w.-]{0,251}[a-z0-9_])?$/;

/** Reads a name or address that clients use for this server. Throws `invalid_config`. */
export function parseName(text: string): string {
  const name = toPlainHost(text);
  if ((isIP(name) !== 0 && !name.includes("%")) || NAME.test(name)) return name;
  throw new AppError(
    "invalid_config",
    `Cannot use the name "${text}": write a host's name or an address, without a port`,
  );
}

/**
 * What this machine is called, by itself: its name, that without its domain, and what its table of hosts calls it besides, which is
 * where a name with a domain stands on many.
 */
export function listMachineNames(name: string = hostname(), table: string = readHosts()): string[] {
  const own = name.toLowerCase();
  const [short = ""] = own.split(".");
  const lines = table
    .split("\n")
    .map((line) => line.replace(/#.*/, "").toLowerCase().trim().split(/\s+/).slice(1));
  const others = lines.filter((names) => names.includes(own)).flat();
  return [...new Set([own, short, ...others])].filter((name) => NAME.test(name));
}

function readHosts(): string {
  try {
    return readFileSync(HOSTS, "utf8");
  } catch {
    return ""; // there is none, as on Windows
  }
}

/** What clients may call this server: by what the machine, its operator or an address to listen on says. */
export function listNames(
  { names, listen = [] }: Pick<ServerConfig, "names" | "listen">,
  machine: readonly string[] = listMachineNames(),
): string[] {
  const stated = listen.flatMap((address) => (address.type === "tcp" ? [address.host] : []));
  const all = [...machine, ...names, ...stated, "localhost"];
  return [...new Set(all)].filter((name) => name !== "0.0.0.0" && name !== "::");
}

/** All addresses of this machine but those that mean nothing without a zone. */
export function listMachineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? []);
  return [...new Set(all.map(({ address }) => address))].filter((address) => !/^fe[89ab].:/i.test(address));
}
