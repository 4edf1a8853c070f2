import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { parseDuration } from "../lib/duration.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../lib/log.ts";
import { toMessage } from "../lib/message.ts";
import { defaultState } from "../lib/state.ts";
import { AppError } from "../protocol/error.ts";
import { HOLD_GRACE } from "../protocol/limits.ts";
import { AuthTable, type AuthSettings, toAuthSettings } from "./auth/settings.ts";
import { type Place, type Roles, RolesTable, toRoles } from "./auth/roles.ts";
import {
  type RetentionFlags,
  type RetentionLimits,
  RetentionTable,
  toRetention,
} from "./jobs/retention-limits.ts";
import { type AuditConfig, AuditTable, toAuditConfig } from "./audit/audit-config.ts";
import {
  CommandsTable,
  type ExtensionFlags,
  type ExtensionSettings,
  PacksTable,
  toExtensionSettings,
} from "./extensions/settings.ts";
import { type InitialTask, parseInitialTask } from "./tasks/initial-task.ts";
import { type ListenAddress, parseListen } from "./listen.ts";
import { listMachineNames, parseName } from "./names.ts";
import { toQuantity } from "./quantity.ts";
import { type TlsConfig, type TlsFlags, TlsTable, toTls } from "./tls/tls-config.ts";

/** Larger than any configuration that somebody wrote. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** What a configuration file may say. */
const ConfigFile = v.strictObject({
  listen: v.optional(v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))])),
  name: v.optional(v.union([v.string(), v.array(v.string())])),
  tls: v.optional(TlsTable),
  state: v.optional(v.pipe(v.string(), v.nonEmpty())),
  session: v.optional(v.strictObject({ grace: v.optional(v.pipe(v.string(), toQuantity(parseDuration))) })),
  log: v.optional(
    v.strictObject({
      level: v.optional(v.picklist(LOG_LEVELS)),
      format: v.optional(v.picklist(LOG_FORMATS)),
    }),
  ),
  retention: v.optional(RetentionTable),
  audit: v.optional(AuditTable),
  auth: v.optional(AuthTable),
  roles: v.optional(RolesTable),
  commands: v.optional(CommandsTable),
  extensions: v.optional(PacksTable),
});

/** What the command line may say; it comes before the file. */
export interface ConfigFlags {
  readonly listen: readonly string[];
  readonly names?: readonly string[];
  readonly tls?: TlsFlags;
  readonly state: string | undefined;
  readonly config: string | undefined;
  readonly logLevel: string | undefined;
  readonly logFormat: string | undefined;
  readonly retention?: RetentionFlags;
  readonly extensions?: ExtensionFlags;
  /** Each as `NAME=FILE`. */
  readonly tasks?: readonly string[];
}

export interface ServerConfig {
  /** Undefined for the default: port 9922 on 127.0.0.1, and on ::1 where there is IPv6. */
  readonly listen: readonly ListenAddress[] | undefined;
  /** What clients call this server besides the names that the machine has by itself; names or addresses. */
  readonly names: readonly string[];
  readonly tls: TlsConfig;
  readonly state: string;
  /** The file that it was read from, absolute. */
  readonly file: string | undefined;
  /** Milliseconds that a session is kept without a connection, and a job's hold without its client. */
  readonly grace: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly logFormat: (typeof LOG_FORMATS)[number];
  readonly retention: RetentionLimits;
  readonly audit: AuditConfig;
  readonly auth: AuthSettings;
  readonly roles: Roles;
  readonly extensions: ExtensionSettings;
  /** Those that it has from its start. */
  readonly tasks: readonly InitialTask[];
}

/** Puts flags, environment (where empty means unset) and file together. Throws `invalid_config`, naming the key. */
export function readConfig(
  flags: ConfigFlags,
  env: Readonly<Record<string, string | undefined>>,
): ServerConfig {
  const path = flags.config ?? (env["FARHAND_CONFIG"] || undefined);
  const file = path === undefined ? {} : readFile(path);
  const listen =
    flags.listen.length > 0 ? flags.listen : file.listen === undefined ? undefined : [file.listen].flat();
  if (flags.state === "") throw new AppError("invalid_config", 'Cannot use --state "": name a directory');
  const state = flags.state ?? (env["FARHAND_STATE"] || file.state);
  const names = (flags.names?.length ? flags.names : [file.name ?? []].flat()).map(parseName);
  const from = dirname(path ?? "");
  const place = state === undefined ? defaultState(env) : resolve(state);
  const refuse = (key: string, why: string) => refused(path ?? "", `at "${key}": ${why}`);
  const { commands, extensions: packs } = file;
  const said = { commands, packs, from, state: place };
  const extensions = toExtensionSettings(flags.extensions ?? NO_EXTENSIONS, said, refuse);
  return {
    listen: listen?.map(parseListen),
    names,
    tls: toTls(flags.tls ?? {}, file.tls),
    state: place,
    file: path && resolve(path),
    grace: file.session?.grace ?? HOLD_GRACE,
    logLevel: pick("--log-level", LOG_LEVELS, flags.logLevel) ?? file.log?.level ?? "info",
    logFormat: pick("--log-format", LOG_FORMATS, flags.logFormat) ?? file.log?.format ?? "text",
    retention: toRetention(flags.retention ?? {}, file.retention),
    audit: toAuditConfig(file.audit),
    auth: toAuthSettings(from, file.auth),
    roles: toRoles(file.roles ?? {}, toPlace(names, extensions), refuse),
    extensions,
    tasks: (flags.tasks ?? []).map(parseInitialTask),
  };
}

const NO_EXTENSIONS: ExtensionFlags = { files: [], watch: false };

/** This server by its names, what its user may do on the machine, and which commands there are besides the built-in ones. */
function toPlace(names: readonly string[], extensions: ExtensionSettings): Place {
  return {
    names: [...listMachineNames(), ...names],
    canRunAs: process.getuid?.() === 0,
    programs: Object.keys(extensions.programs),
    mayHaveModules: extensions.files.length > 0 || existsSync(extensions.directory),
  };
}

function readFile(path: string): v.InferOutput<typeof ConfigFile> {
  const parsed = v.safeParse(ConfigFile, parseToml(path, readText(path)));
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const key = v.getDotPath(issue) ?? "(top level)";
  throw refused(path, `at "${key}": ${describeIssue(issue)}`);
}

function describeIssue({ type, expected, received, message }: v.BaseIssue<unknown>): string {
  if (type === "raw_transform") return message;
  if (type === "non_empty") return "it is empty";
  if (type === "check") return `it ${message}`;
  return expected === "never" ? "this key is unknown" : `expected ${expected}, found ${received}`;
}

function readText(path: string): string {
  try {
    if (statSync(path).size > MAX_CONFIG_BYTES) throw refused(path, "it is larger than 1 MiB");
    return readFileSync(path, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    throw refused(path, error.message, error);
  }
}

function parseToml(path: string, text: string): unknown {
  try {
    return Bun.TOML.parse(text);
  } catch (error) {
    throw refused(path, toMessage(error), error);
  }
}

function pick<const T extends readonly string[]>(
  flag: string,
  choices: T,
  value: string | undefined,
): T[number] | undefined {
  if (value === undefined) return undefined;
  const choice = choices.find((choice) => choice === value);
  if (choice === undefined)
    throw new AppError(
      "invalid_config",
      `Cannot use ${flag} "${value}": choose one of ${choices.join(", ")}`,
    );
  return choice;
}

function refused(path: string, why: string, cause?: unknown): AppError {
  return new AppError("invalid_config", `Cannot read configuration "${path}": ${why}`, { cause });
}
