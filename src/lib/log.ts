import { toJsonLine } from "./escape.ts";

/** Levels from loudest to quietest; a logger writes its own level and everything before it. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Where log lines go. Message and fields are apart, so that a name can never forge a line. */
export interface Log {
  error(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  debug(message: string, fields?: Record<string, unknown>): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one finished line, without its line break. */
  readonly write: (line: string) => void;
  /** The wall clock. */
  readonly now: () => Date;
}

/** A logger of one line per event, either readable text or one JSON object. */
export function createLog({ level, format, write, now }: LogOptions): Log {
  const loudest = LOG_LEVELS.indexOf(level);
  const at =
    (own: LogLevel) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (LOG_LEVELS.indexOf(own) > loudest) return;
      const line = { level: own, message, fields };
      write(format === "json" ? toJson(now(), line) : toText(now(), line));
    };
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}

/** What an error says to a log: its message with its causes, and the stack of the innermost one. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined
    ? error.stack || error.message // a DOMException's stack is empty
    : `${error.message}: ${describeError(error.cause)}`;
}

function toJson(time: Date, { level, message, fields }: LogLine): string {
  return toJsonLine({ time: time.toISOString(), level, message, ...fields });
}

function toText(time: Date, { level, message, fields }: LogLine): string {
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${toJsonLine(value)}`);
  return `${time.toISOString()} ${level.padEnd(5)} ${toJsonLine(message).slice(1, -1)}${rest.join("")}`;
}
