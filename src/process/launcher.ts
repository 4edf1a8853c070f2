import { closeSync, readSync } from "node:fs";
import * as v from "valibot";
import type { Again } from "./again.ts";
import { type LaunchOrder, LaunchReport } from "./launch.ts";
import type { Libc } from "./libc.ts";
import { openInput } from "./pipe.ts";
import { explainRefusal, quote, StartError } from "./program.ts";

/** How to run this executable so that it calls `launch()`. */
export type Launcher = Again;

/** What a launcher used itself, and why there never was a program if that is so. */
export interface Launched extends Omit<LaunchReport, "failure"> {
  readonly failure: StartError | undefined;
}

/** Our ends of the pipes to a launcher. */
export interface LauncherPipes {
  /** Gives it its order. */
  send(order: LaunchOrder): void;
  /** What it said, if it came to that. Call it when the process has ended. */
  conclude(name: string, file: string, nice: number | undefined): Launched | undefined;
}

/** `order` is written, `report` read by us. */
export function openLauncherPipes(libc: Libc, order: number, report: number): LauncherPipes {
  libc.prepareReading(report);
  return {
    send(message) {
      const pipe = openInput(order);
      pipe
        .write(new TextEncoder().encode(JSON.stringify(message)))
        .catch(() => {}) // a launcher that ended early tells why
        .finally(() => pipe.end());
    },
    conclude(name, file, nice) {
      const reports = readAll(report)
        .split("\n")
        .flatMap((line) => (line === "" ? [] : [v.parse(LaunchReport, JSON.parse(line))]));
      const last = reports.at(-1);
      return last && { ...last, failure: last.failure && toStartError(last.failure, name, file, nice) };
    },
  };
}

function readAll(fd: number): string {
  const buffer = Buffer.alloc(4096);
  try {
    return buffer.toString("utf8", 0, readSync(fd, buffer));
  } catch {
    return ""; // nothing was said, and whoever might still say something is not the launcher
  } finally {
    closeSync(fd);
  }
}

function toStartError(
  { step, code, reason }: NonNullable<LaunchReport["failure"]>,
  name: string,
  file: string,
  nice: number | undefined,
): StartError {
  const refuse = (why: string) =>
    new StartError("start_failed", `Cannot run ${quote(name)}: ${why} (${code})`);
  if (reason !== undefined) return new StartError(reason.code, reason.message);
  switch (step) {
    case "nice":
      return refuse(`a niceness of ${nice} is not permitted here`);
    case "limits":
      return refuse("its resource limits cannot be set");
    case "groups":
      return refuse("it cannot be put into its control group");
    case "terminal":
      return refuse("its terminal cannot be given to it");
    case "user":
      return refuse("it cannot be made another user's for good");
    case "program":
      return explainRefusal(code, name, file);
  }
}
