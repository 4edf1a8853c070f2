import { join, resolve } from "node:path";
import { AppError } from "../../protocol/error.ts";
import type { ConfigFlags } from "../config.ts";
import { formatAddress, parseListen } from "../listen.ts";
import type { ServiceDefinition } from "./definition.ts";
import { defineAgent } from "./launchd.ts";
import { defineUnit } from "./systemd.ts";
import { defineTask } from "./task.ts";

/** Who wishes which service, and where. */
export interface ServiceRequest {
  readonly isUser: boolean;
  /** The compiled executable, or undefined when this runs from source. */
  readonly executable: string | undefined;
  readonly flags: ConfigFlags;
  /** The state directory that flags, environment and file together make. */
  readonly state: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly uid: number;
  readonly account: string;
  readonly home: string;
}

/** The service as this platform's manager wants it. Throws `unavailable` where none is known, or for a server from source. */
export function defineService(request: ServiceRequest): ServiceDefinition {
  const { isUser, executable, uid, account, state } = request;
  if (executable === undefined) {
    throw new AppError(
      "unavailable",
      "Cannot make a service of a farhandd that runs from source: build it, and run dist/farhandd service",
    );
  }
  const wish = {
    argv: [executable, "serve", ...toArguments(request)] as const,
    reload: [executable, "reload", ...toWords(toPlace(request))] as const,
    isUser,
    uid,
    account,
  };
  const { platform, home, env } = request;
  switch (platform) {
    case "linux": {
      const own = join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "systemd", "user");
      return defineUnit({ ...wish, directory: isUser ? own : "/etc/systemd/system" });
    }
    case "darwin": {
      const own = join(home, "Library", "LaunchAgents");
      return defineAgent({ ...wish, directory: isUser ? own : "/Library/LaunchDaemons" });
    }
    case "win32":
      return defineTask({ ...wish, directory: state });
    default:
      throw new AppError("unavailable", `Cannot make a service on ${platform}: its manager is not known`);
  }
}

/** Throws `forbidden` for who may not change services of the whole machine. */
export function checkMayChange({ isUser, platform, uid }: ServiceRequest): void {
  if (isUser || platform === "win32" || uid === 0) return;
  throw new AppError(
    "forbidden",
    "Cannot change services of the machine: run this as root, or with --user for your own",
  );
}

/** The options of `serve`, in words that mean the same wherever and by whom they are read. */
function toArguments(request: ServiceRequest): string[] {
  const { flags } = request;
  const { cert, key, clientCa, insecure } = flags.tls ?? {};
  return [
    ...flags.listen.flatMap((address) => ["--listen", toAbsolute(address)]),
    ...(flags.names ?? []).flatMap((name) => ["--name", name]),
    ...(insecure ? ["--insecure"] : []),
    ...(flags.extensions?.files ?? []).flatMap((file) => ["--extension", resolve(file)]),
    ...(flags.extensions?.watch ? ["--watch"] : []),
    ...toWords({
      "--cert": cert && resolve(cert),
      "--key": key && resolve(key),
      "--client-ca": clientCa && resolve(clientCa),
      ...toPlace(request),
      "--log-level": flags.logLevel,
      "--log-format": flags.logFormat,
      "--retention-age": flags.retention?.age,
      "--retention-jobs": flags.retention?.jobs,
      "--retention-bytes": flags.retention?.bytes,
    }),
  ];
}

/** The options by which every verb finds the same state directory. */
function toPlace({ flags, state, env }: ServiceRequest): Record<string, string | undefined> {
  const config = flags.config ?? (env["FARHAND_CONFIG"] || undefined);
  // A configuration may name another directory later; without one nobody else says where the state is.
  const isStated = flags.state !== undefined || Boolean(env["FARHAND_STATE"]) || config === undefined;
  return { "--config": config && resolve(config), "--state": isStated ? state : undefined };
}

function toWords(options: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name, value]));
}

function toAbsolute(address: string): string {
  return address.startsWith("unix:") ? formatAddress(parseListen(address)) : address;
}
