import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { AppError } from "../protocol/error.ts";
import type { ServerConfig } from "./config.ts";

/** What may stand in a URL and in a certificate. */
const NAME = /^[a-z0-9_]([\w.-]{0,251}[a-z0-9_])?$/;

/** Reads a name or address that clients use for this server. Throws `invalid_config`. */
export function parseName(text: string): string {
  const name = text.toLowerCase();
  if (isIP(name) !== 0 || NAME.test(name)) return name;
  throw new AppError(
    "invalid_config",
    `Cannot use the name "${text}": write a host's name or an address, without a port`,
  );
}

/** What this machine is called, by itself: its name, and that without its domain. */
export function listMachineNames(): string[] {
  const name = hostname().toLowerCase();
  const [short = ""] = name.split(".");
  return [...new Set([name, short])].filter((name) => NAME.test(name));
}

/** What clients may call this server: by what the machine, its operator or an address to listen on says. */
export function listNames({ names, listen = [] }: Pick<ServerConfig, "names" | "listen">): string[] {
  const stated = listen.flatMap((address) => (address.type === "tcp" ? [address.host] : []));
  const all = [...listMachineNames(), ...names, ...stated, "localhost"];
  return [...new Set(all)].filter((name) => name !== "0.0.0.0" && name !== "::");
}

/** All addresses of this machine but those that mean nothing without a zone. */
export function listMachineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? []);
  return [...new Set(all.map(({ address }) => address))].filter((address) => !/^fe[89ab].:/i.test(address));
}
