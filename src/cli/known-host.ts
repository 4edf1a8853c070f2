import { resolve } from "node:path";
import * as v from "valibot";
import { toClient } from "../client/config.ts";
import { type Hosts, HostName, type NamedHost, readHosts } from "../client/hosts.ts";
import type { ClientCertificate, Trust } from "../client/trust.ts";
import { defaultConfigHome } from "../lib/config-home.ts";
import { AppError } from "../protocol/error.ts";
import type { Context } from "./context.ts";
import type { Globals } from "./globals.ts";

/** The directory of the hosts that are kept, and they themselves. Throws `state_unusable`. */
export function openHosts({ env }: Pick<Context, "env">): { readonly home: string; readonly hosts: Hosts } {
  const home = defaultConfigHome(env);
  return { home, hosts: readHosts(home) };
}

/** The kept host that is meant: the one that is named, else that of the options and of the environment. Throws `not_found`, `invalid_input`. */
export function getKnownHost(
  name: string | undefined,
  context: Context,
): NamedHost & { readonly home: string } {
  const wanted = name ?? context.globals.host ?? (context.env["FARHAND_HOST"] || undefined);
  if (wanted === undefined)
    throw new AppError(
      "invalid_input",
      "Cannot tell which host is meant: name one; farhand host list shows them",
    );
  const { home, hosts } = openHosts(context);
  const host = hosts.get(wanted);
  if (host !== undefined) return { home, name: wanted, ...host };
  throw new AppError(
    "not_found",
    `Cannot find host "${wanted}": none is called so; keep it with farhand host add ${wanted} ADDRESS, or farhand join`,
  );
}

/** Throws `invalid_input` for what cannot be a name, or is the address of this machine. */
export function checkName(name: string): string {
  const checked = v.safeParse(HostName, name);
  if (!checked.success)
    throw new AppError("invalid_input", `Cannot call a host "${name}": ${checked.issues[0].message}`);
  if (!/^(localhost|[\d.]+)$/i.test(name)) return name;
  throw new AppError("invalid_input", `Cannot call a host "${name}": that is an address`);
}

/** Our certificate as the options say, wherever one is called from later. Throws `invalid_input`. */
export function toClientCertificate(globals: Globals): ClientCertificate | undefined {
  const client = toClient(globals);
  return client && { certificate: resolve(client.certificate), key: resolve(client.key) };
}

/** The file of authorities that options or the environment name, wherever one is called from later. */
export function findCa({ globals, env }: Pick<Context, "globals" | "env">): string | undefined {
  const ca = globals.ca ?? (env["FARHAND_CA"] || undefined);
  return ca && resolve(ca);
}

/** By what a host is known, in words. */
export function describeTrust({ url, trust }: { readonly url: string; readonly trust: Trust }): string {
  if (!url.startsWith("https:")) return url.startsWith("unix:") ? "its socket" : "nothing: it has no TLS";
  switch (trust.type) {
    case "system":
      return "this machine's authorities";
    case "ca":
      return `the authorities in ${trust.file}`;
    case "pin":
      return trust.pin;
  }
}
