import { loadModule } from "../../src/module/load.ts";
import { CustomWork, type CustomOptions } from "../../src/runner/custom-work.ts";
import { Uncaught } from "../../src/runner/uncaught.ts";

/** What does custom commands in a runner, in this process: it leaves the directory and the environment as they are. */
export function createCustomWork(options: Partial<CustomOptions> = {}): CustomWork {
  return new CustomWork({
    load: loadModule,
    surround: () => {},
    startProgram: () => {
      throw new Error("No program is started here");
    },
    uncaught: new Uncaught(),
    log: () => {},
    signal: new AbortController().signal,
    ...options,
  });
}
