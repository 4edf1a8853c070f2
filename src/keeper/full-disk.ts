import { delay } from "../lib/abort.ts";
import { isDiskFull } from "../lib/disk.ts";

/** Milliseconds between tries to write to a full disk. */
const DISK_RETRY = 250;

/** Writes what must be written down, however long the disk is full. Rejects with any other failure, and the signal's reason. */
export async function insist<T>(write: () => T, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return write();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      await retryDelay(signal);
    }
  }
}

/** Until there may be room again. */
export function retryDelay(signal: AbortSignal): Promise<void> {
  return delay(DISK_RETRY, signal);
}
