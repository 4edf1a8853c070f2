import type { Recorder } from "../../src/server/audit/audit.ts";

/** What was taken down, in its order; `fails`: the log cannot be written, and nothing may be done unrecorded. */
export function createRecorder({ fails = undefined as Error | undefined } = {}): Recorder & {
  readonly taken: readonly Readonly<Record<string, unknown>>[];
} {
  const taken: Readonly<Record<string, unknown>>[] = [];
  return {
    taken,
    note: (event, fields) => void taken.push({ event, ...fields }),
    commit() {
      if (fails !== undefined) throw fails;
    },
    write() {},
  };
}
