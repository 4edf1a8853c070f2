import type { Recorder } from "../../src/server/audit/audit.ts";

/** What was taken down, in its order. `failure`: why the log cannot be written, where nothing may be done unrecorded. */
export function createRecorder(failure?: Error): Recorder & {
  readonly taken: readonly Readonly<Record<string, unknown>>[];
} {
  const taken: Readonly<Record<string, unknown>>[] = [];
  return {
    taken,
    note: (event, fields) => void taken.push({ event, ...fields }),
    commit() {
      if (failure !== undefined) throw failure;
    },
    write() {},
  };
}
