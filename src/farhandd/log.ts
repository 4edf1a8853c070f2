import { createLog, describeError, type Log } from "../lib/log.ts";
import type { ServerConfig } from "../server/config.ts";
import { openLogFile } from "../server/log-file.ts";

/** Writes to a file, and to stderr as long as somebody reads that. */
export function openLog(
  path: string,
  { logLevel, logFormat }: Pick<ServerConfig, "logLevel" | "logFormat">,
  isEchoing: () => boolean,
): Log {
  const toFile = openLogFile(path);
  const write = (line: string) => {
    toFile(line);
    if (isEchoing()) process.stderr.write(`${line}\n`, () => {});
  };
  return createLog({ level: logLevel, format: logFormat, write, now: () => new Date() });
}

/** What nobody caught is logged, and ends neither the jobs nor the clients that it has nothing to do with. */
export function surviveErrors(log: Log): void {
  for (const name of ["uncaughtException", "unhandledRejection"] as const)
    process.on(name, (error: unknown) => log.error("unexpected", { error: describeError(error) }));
}
