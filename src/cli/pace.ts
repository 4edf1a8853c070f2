import type { Readable } from "../client/output.ts";
import { delay } from "../lib/abort.ts";
import type { Packet } from "../protocol/packet.ts";
import { toRead } from "./mapped.ts";

export interface Pace {
  /** How many times as fast as it was written. */
  readonly speed: number;
  /** Milliseconds at most between two packets, as they were written. */
  readonly maxPause: number;
}

/** The same output, each packet as long after the one before as it was written after that. The first comes at once. */
export function toPaced(output: Readable, pace: Pace, signal: AbortSignal): Readable {
  return toRead(output, () => takeTime(output, pace, signal));
}

async function* takeTime(
  output: Readable,
  { speed, maxPause }: Pace,
  signal: AbortSignal,
): AsyncGenerator<Packet, void, void> {
  let before: number | undefined;
  // Counted from one moment, so that what writing takes delays nothing that comes later.
  let due = performance.now();
  for await (const packet of output) {
    const at = toTime(packet);
    due += Math.min(Math.max(0, (at ?? 0) - (before ?? at ?? 0)) / 1_000, maxPause) / speed;
    before = at ?? before;
    const early = due - performance.now();
    if (early >= 1) await delay(early, signal);
    yield packet;
  }
}

/** When it was written; a gap that stands for what is gone does not know. */
function toTime({ type, at }: Packet): number | undefined {
  return type === "gap" && at === 0 ? undefined : at;
}
