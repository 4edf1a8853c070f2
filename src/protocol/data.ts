import { AppError } from "./error.ts";
import { MAX_DATA_BYTES } from "./limits.ts";
import { getUint64, setUint64 } from "./packet.ts";

/** A data frame, big-endian: kind u8 (1) · zero u8 u16 · channel u32 · position u64 · bytes. */
export const DATA_HEADER_BYTES = 16;
const KIND = 1;

export interface DataFrame {
  readonly channel: number;
  /** Bytes that this direction of the channel carried before these. */
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** Writes the header at the beginning of `target`; the bytes follow it there. */
export function writeDataHeader(target: Uint8Array, channel: number, position: number): void {
  const view = new DataView(target.buffer, target.byteOffset, DATA_HEADER_BYTES);
  view.setUint32(0, KIND << 24);
  view.setUint32(4, channel);
  setUint64(view, 8, position);
}

/** Reads a data frame without copying. Throws `protocol_error`. */
export function decodeData(frame: Uint8Array): DataFrame {
  if (frame.length <= DATA_HEADER_BYTES) throw refused("carries no bytes");
  if (frame.length > DATA_HEADER_BYTES + MAX_DATA_BYTES)
    throw refused(`is larger than ${MAX_DATA_BYTES} bytes`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (view.getUint32(0) !== KIND << 24) throw refused("is of an unknown kind");
  const channel = view.getUint32(4);
  if (channel === 0) throw refused("is for channel 0, which there is none of");
  const position = getUint64(view, 8);
  if (!Number.isSafeInteger(position)) throw refused("has a position beyond 2^53");
  return { channel, position, bytes: frame.subarray(DATA_HEADER_BYTES) };
}

function refused(what: string): AppError {
  return new AppError("protocol_error", `Cannot accept a data frame: it ${what}`);
}
