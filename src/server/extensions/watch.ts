import { lstatSync, statSync } from "node:fs";
import { delay } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { ReloadReport } from "../reload.ts";
import type { Extensions } from "./extensions.ts";
import type { ExtensionSettings } from "./settings.ts";
import { listSources } from "./sources.ts";

/** Milliseconds between two looks. */
const EVERY = 500;

/** Milliseconds by which what a file system writes down as the time may be behind the clock. */
const CLOCK_STEP = 20;

/** What came of modules that were read anew by themselves. */
export type WatchReport = Pick<ReloadReport, "changed" | "failed">;

export interface WatchOptions {
  readonly extensions: Pick<Extensions, "name" | "inputs" | "reload" | "ready" | "begunAt">;
  /** As they are by now. */
  readonly settings: () => ExtensionSettings;
}

/** Has modules read anew when one of their files is another, or there are others. */
export class Watch {
  readonly #options: WatchOptions;
  /** What each file was like when it was read last. */
  #known: ReadonlyMap<string, string> | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Looks once. Answers undefined where nothing was to be read. */
  async runOnce(): Promise<WatchReport | undefined> {
    const { extensions, settings } = this.#options;
    const now = this.#look();
    const before = this.#known ?? this.#toFirst(now);
    if (Bun.deepEquals(now, before)) return void (this.#known = now);
    const failed: ReloadReport["failed"] = [];
    const changed = await extensions.reload({ extensions: settings() }, (fault) => failed.push(fault));
    // What changed while it was read counts as it was before.
    this.#known = new Map([...this.#look()].map(([file, stamp]) => [file, now.get(file) ?? stamp]));
    return { changed: changed === undefined ? [] : [{ name: extensions.name, now: changed }], failed };
  }

  /** What was there when modules were first read, of what is there now. */
  #toFirst(now: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const { begunAt } = this.#options.extensions;
    return new Map([...now].filter(([file]) => findChange(file) < begunAt - CLOCK_STEP));
  }

  #look(): ReadonlyMap<string, string> {
    const { extensions, settings } = this.#options;
    const files = [...new Set([...listSources(settings()).files, ...extensions.inputs])].sort();
    return new Map(files.map((file) => [file, stamp(file)]));
  }
}

export interface WatchingOptions {
  readonly log: Log;
  readonly onReloaded: (report: WatchReport) => void;
  readonly signal: AbortSignal;
}

/** Watches until the signal is aborted. */
export async function keepWatching(
  watch: Watch,
  { log, onReloaded, signal }: WatchingOptions,
): Promise<void> {
  for (;;) {
    try {
      const report = await watch.runOnce();
      if (report !== undefined) onReloaded(report);
    } catch (error) {
      log.error("modules not looked at", { error: describeError(error) });
    }
    await delay(EVERY, signal);
  }
}

/** What tells a file from what it was, or from another in its place. */
function stamp(file: string): string {
  try {
    const { ino, size, mtimeMs, mode } = statSync(file);
    return [lstatSync(file).ino, ino, size, mtimeMs, mode].join();
  } catch {
    return "gone";
  }
}

/** When a file was last changed in any way, or put in its place (ms); what is gone may be so since now. */
function findChange(file: string): number {
  try {
    return Math.max(lstatSync(file).ctimeMs, statSync(file).ctimeMs);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
