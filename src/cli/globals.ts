import { parseDuration } from "../lib/duration.ts";
import { LOG_LEVELS, type LogLevel } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_HEARTBEAT_INTERVAL, MIN_HEARTBEAT_INTERVAL } from "../protocol/limits.ts";
import type { CliArg } from "../commands/define.ts";
import type { ArgSpecs, Arguments } from "./arguments.ts";

/** Options of every verb, accepted before and after it. */
export const globalArgs = {
  host: {
    type: "string",
    alias: "H",
    valueHint: "host",
    description:
      "Server: a host that is kept, host:port, URL or unix:/path (default: FARHAND_HOST, else this machine's own)",
  },
  workspace: {
    type: "string",
    alias: "w",
    valueHint: "name",
    description: "Working directory and environment of this name (default: FARHAND_WORKSPACE, else default)",
  },
  state: { type: "string", valueHint: "dir", description: "Where this machine's server leaves its address" },
  "token-file": {
    type: "string",
    valueHint: "path",
    description:
      "Read the token from this file of mode 600 (default: FARHAND_TOKEN, else what is kept with the host)",
  },
  "token-fd": {
    type: "string",
    valueHint: "number",
    description: "Read the token from this open descriptor",
  },
  "token-stdin": {
    type: "boolean",
    description: "Read the token from stdin, which a job gets nothing of then",
  },
  ca: {
    type: "string",
    valueHint: "path",
    description:
      "Trust a server that an authority of this file vouches for (default: FARHAND_CA, else the system's)",
  },
  "client-cert": {
    type: "string",
    valueHint: "path",
    description: "Our own certificate, for servers that want one",
  },
  "client-key": { type: "string", valueHint: "path", description: "Its key, in a file of mode 600" },
  insecure: {
    type: "boolean",
    description: "Go without TLS to an http:// address: everybody on the way reads the token and all else",
  },
  "connect-timeout": {
    type: "string",
    valueHint: "duration",
    description: "Keep trying to connect for so long, also while the port refuses",
  },
  "reconnect-timeout": {
    type: "string",
    valueHint: "duration",
    description: "Keep trying for so long to restore a connection that was lost (default 2m; 0s: never)",
  },
  heartbeat: {
    type: "string",
    valueHint: "duration",
    description: "Interval at which both sides prove to be alive (1s to 1h, default 15s)",
  },
  json: { type: "boolean", description: "Write JSON: one value, or one per line for streams" },
  "log-level": {
    type: "string",
    valueHint: LOG_LEVELS.join("|"),
    description: "How much to log to stderr (default warn)",
  },
  help: { type: "boolean", alias: "h", description: "Show help" },
  version: { type: "boolean", alias: "V", description: "Show the versions of this client and of the server" },
} as const satisfies ArgSpecs;

/** Options that say where a token comes from. There is none that is the token: others can read the words of a command line. */
export const TOKEN_OPTIONS = ["token-file", "token-fd", "token-stdin"] as const;

export interface Globals {
  readonly host: string | undefined;
  readonly workspace: string | undefined;
  readonly state: string | undefined;
  readonly ca: string | undefined;
  readonly clientCert: string | undefined;
  readonly clientKey: string | undefined;
  readonly insecure: boolean | undefined;
  /** Milliseconds. */
  readonly connectTimeout: number | undefined;
  /** Milliseconds. */
  readonly reconnectTimeout: number | undefined;
  /** Milliseconds. */
  readonly heartbeat: number | undefined;
  readonly json: boolean;
  readonly logLevel: LogLevel;
}

/** The options of a verb with those that every verb has. What it calls by a name or a letter of its own, it means itself. */
export function withGlobals(args: ArgSpecs): ArgSpecs {
  const letters = Object.values(args).flatMap(({ alias }) => alias ?? []);
  const globals = Object.entries<CliArg>(globalArgs).map(([name, { alias, ...arg }]) => [
    name,
    alias === undefined || letters.includes(alias) ? arg : { ...arg, alias },
  ]);
  return { ...Object.fromEntries(globals), ...args };
}

/** Throws a `RangeError` or `invalid_input` on what cannot be read. */
export function toGlobals(values: Arguments): Globals {
  return {
    host: values.text("host"),
    workspace: values.text("workspace"),
    state: values.text("state"),
    ca: values.text("ca"),
    clientCert: values.text("client-cert"),
    clientKey: values.text("client-key"),
    insecure: values.choice("insecure"),
    connectTimeout: toDuration(values.text("connect-timeout")),
    reconnectTimeout: toDuration(values.text("reconnect-timeout")),
    heartbeat: toHeartbeat(values.text("heartbeat")),
    json: values.flag("json"),
    logLevel: toLogLevel(values.text("log-level") ?? "warn"),
  };
}

function toDuration(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDuration(text);
}

function toHeartbeat(text: string | undefined): number | undefined {
  const every = toDuration(text);
  if (every === undefined || (every >= MIN_HEARTBEAT_INTERVAL && every <= MAX_HEARTBEAT_INTERVAL))
    return every;
  throw new AppError("invalid_input", `Cannot use --heartbeat "${text}": choose one from 1s to 1h`);
}

function toLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((level) => level === text);
  if (level !== undefined) return level;
  throw new AppError(
    "invalid_input",
    `Cannot use --log-level "${text}": choose one of ${LOG_LEVELS.join(", ")}`,
  );
}
