import * as v from "valibot";
import { describeError, type Log } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import type { Actor } from "./audit/event.ts";
import type { ServerConfig } from "./config.ts";

/** Something that a running server reads anew when it is told that its operator has changed it. */
export interface Reloadable {
  /** As a sentence calls it: `certificate`. */
  readonly name: string;
  /**
   * Reads it anew, by what the configuration says now. Answers what it is from now on, or undefined where nothing is different; throws
   * why it stays as it was. `onFault`: told of each part of it that is not as it should be, while the rest is.
   */
  readonly reload: (
    config: ServerConfig,
    onFault: (fault: ReloadReport["failed"][number]) => void,
  ) => Promise<string | undefined>;
}

/** What a reload has changed, and what it could not. */
export const ReloadReport = v.object({
  changed: v.array(v.object({ name: v.string(), now: v.string() })),
  unchanged: v.array(v.string()),
  failed: v.array(v.object({ name: v.string(), reason: v.string() })),
});
export type ReloadReport = v.InferOutput<typeof ReloadReport>;

export interface ReloadOptions {
  /** Reads the configuration as at the start, by the same flags. */
  readonly readConfig: () => ServerConfig;
  /** The configuration that is in use. */
  readonly config: ServerConfig;
  readonly parts: readonly Reloadable[];
  readonly log: Log;
  /** Told of each reload before whoever asked for it is; `by`: undefined for a signal. */
  readonly onReloaded: (report: ReloadReport, by: Actor | undefined) => void;
}

/** What of the configuration counts only at a start, by its keys in the file. */
function toLasting({ listen, state, tls, grace, logLevel, logFormat, retention, audit }: ServerConfig) {
  return {
    listen,
    state,
    "tls.insecure": tls.insecure,
    "session.grace": grace,
    "log.level": logLevel,
    "log.format": logFormat,
    retention,
    audit,
  };
}

/** Reads anew whatever can be while the server runs. What cannot be read stays as it was, and the rest is read nevertheless. */
export class Reloading {
  readonly #options: ReloadOptions;
  readonly #first: ServerConfig;
  #config: ServerConfig;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#first = options.config;
    this.#config = options.config;
  }

  /** What it says now. */
  get config(): ServerConfig {
    return this.#config;
  }

  /** One at a time: who asks meanwhile is answered by a later one. `by`: who asks, unless a signal does. */
  run(by?: Actor): Promise<ReloadReport> {
    const report = this.#last.then(() => this.#run(by));
    this.#last = report.catch(() => {}); // whoever asked is told
    return report;
  }

  async #run(by: Actor | undefined): Promise<ReloadReport> {
    const { parts, log, onReloaded } = this.#options;
    const report: ReloadReport = { changed: [], unchanged: [], failed: [] };
    const read = { name: "configuration", reload: async () => this.#read() };
    for (const part of [read, ...parts]) {
      const { name } = part;
      try {
        const before = report.failed.length;
        const now = await part.reload(this.#config, (fault) => report.failed.push(fault));
        if (now !== undefined) report.changed.push({ name, now });
        else if (report.failed.length === before) report.unchanged.push(name);
      } catch (error) {
        report.failed.push({
          name,
          reason: error instanceof AppError ? error.message : "the server's log says why",
        });
        log.error("not reloaded", { part: name, error: describeError(error) });
      }
    }
    log.info("reloaded", { ...report });
    onReloaded(report, by);
    return report;
  }

  #read(): string | undefined {
    const config = this.#options.readConfig();
    const first: Readonly<Record<string, unknown>> = toLasting(this.#first);
    const waiting = Object.entries(toLasting(config)).flatMap(([key, value]) =>
      Bun.deepEquals(value, first[key]) ? [] : [key],
    );
    const isChanged = !Bun.deepEquals(config, this.#config);
    this.#config = config;
    if (waiting.length > 0)
      return `read; what it says of ${waiting.join(", ")} counts from the next start on`;
    return isChanged ? "read" : undefined;
  }
}
