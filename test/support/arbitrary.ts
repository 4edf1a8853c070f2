import fc from "fast-check";
import * as v from "valibot";
import { JobId } from "../../src/protocol/id.ts";
import type { Exit, Gap, Totals } from "../../src/protocol/packet.ts";

/** Counts as they occur: small, and up to the largest that a number holds exactly. */
export const anyCount: fc.Arbitrary<number> = fc.oneof(fc.nat(1_000), fc.maxSafeNat());

export const anyTotals: fc.Arbitrary<Totals> = fc.record({
  packets: anyCount,
  values: anyCount,
  stdoutBytes: anyCount,
  stderrBytes: anyCount,
});

export const anyGap: fc.Arbitrary<Gap> = fc.record({ next: anyCount, totals: anyTotals });

const anyText = fc.string({ unit: "grapheme", maxLength: 20 });

export const anyExit: fc.Arbitrary<Exit> = fc.record(
  {
    outcome: fc.oneof(
      fc.record({ type: fc.constant("exited" as const), code: fc.nat(255) }),
      fc.record({ type: fc.constant("signaled" as const), signal: anyText }),
      fc.record({
        type: fc.constant("threw" as const),
        error: fc.record({ code: fc.constant("internal" as const), message: anyText }),
      }),
      fc.record({ type: fc.constant("lost" as const), since: anyText }),
      fc.record({
        type: fc.constant("cancelled" as const),
        by: anyText,
        end: fc.record({ type: fc.constant("exited" as const), code: fc.nat(255) }),
      }),
    ),
    totals: anyTotals,
    usage: fc.record({ userMs: fc.nat(), systemMs: fc.nat(), maxRssBytes: fc.nat() }),
    endedAt: anyText,
  },
  { requiredKeys: ["outcome", "totals", "endedAt"] },
);

export const newJobId = (): JobId => v.parse(JobId, Bun.randomUUIDv7());
