import { abortable } from "../lib/abort.ts";
import type { Recorded, Source } from "./tail.ts";

/** How many values a job has recorded so far. They are read for that. */
export async function countValues(
  source: Source,
  { job, next }: Recorded,
  signal: AbortSignal,
): Promise<number> {
  if (next === 0) return 0;
  const output = source.openOutput(job, { type: "since", number: 0 });
  const count = async () => {
    let values = 0;
    for await (const packet of output) {
      output.consumed(packet);
      if (packet.type === "value" && packet.number < next) values++;
      if (packet.type === "gap") values = packet.totals.values;
      if (packet.number >= next - 1 || (packet.type === "gap" && packet.next >= next)) break;
    }
    return values;
  };
  try {
    return await abortable(count(), signal);
  } finally {
    output.close();
  }
}
