import type { Readable } from "../client/output.ts";
import type { Packet } from "../protocol/packet.ts";

/** The same output, with packets as `map` makes them, each of which keeps its number. */
export function toMapped(output: Readable, map: (packet: Packet) => Packet): Readable {
  return toRead(output, async function* () {
    for await (const packet of output) yield map(packet);
  });
}

/**
 * The same output, as somebody reads it who begins with other packets, or takes his time. `isPartial`: nothing is missing
 * where something is gone, since not all was wanted.
 */
export function toRead(
  output: Readable,
  read: () => AsyncGenerator<Packet, void, void>,
  { isPartial = false } = {},
): Readable {
  return {
    get missing() {
      return isPartial ? undefined : output.missing;
    },
    get next() {
      return output.next;
    },
    consumed: (packet) => output.consumed(packet),
    discard: (stream) => output.discard(stream),
    close: (error) => output.close(error),
    [Symbol.asyncIterator]: read,
  };
}
