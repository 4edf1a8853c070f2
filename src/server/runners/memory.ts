import { readFileSync } from "node:fs";
import { delay } from "../../lib/abort.ts";
import { formatSize } from "../../lib/size.ts";

/** Milliseconds between looks. */
const LOOK_EVERY = 200;
/** Linux counts in pages, of 4 KiB nearly everywhere. Where they are larger, less is seen than there is. */
const PAGE_BYTES = 4_096;

/** Resolves, with what to say, once a process has so many bytes in memory. Rejects with the signal's reason. Linux only; elsewhere nothing is seen. */
export async function watchMemory(pid: number, maxBytes: number, signal: AbortSignal): Promise<string> {
  for (;;) {
    await delay(LOOK_EVERY, signal);
    if (readResident(pid) > maxBytes) return `it took more than ${formatSize(maxBytes)} of memory`;
  }
}

function readResident(pid: number): number {
  try {
    const [, resident = "0"] = readFileSync(`/proc/${pid}/statm`, "latin1").split(" ");
    return Number(resident) * PAGE_BYTES;
  } catch {
    return 0; // it has ended, or this is no Linux
  }
}
