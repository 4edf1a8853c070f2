import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const PAGE = 4_096;
/** Pages that are read at once. */
const BATCH = 256;
const ENTRY_BYTES = 8;

/** Which of these texts stand in what a process has written to its memory; undefined where we may not look there. */
export function findInMemory(pid: number, needles: readonly string[]): readonly string[] | undefined {
  try {
    const found = new Set<string>();
    for (const bytes of readMemory(pid)) {
      const text = bytes.toString("latin1");
      for (const needle of needles) if (text.includes(needle)) found.add(needle);
    }
    return [...found];
  } catch (error) {
    if (error instanceof Error && /EACCES|EPERM/.test(error.message)) return undefined;
    throw error;
  }
}

/** All pages that are there of what is writable, as runs of neighbours. What a library or the executable brings is not its own. */
function* readMemory(pid: number): Generator<Buffer, void, void> {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pages = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const [, from = "", to = ""] of readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(WRITABLE)) {
      const [start, end] = [Number.parseInt(from, 16) / PAGE, Number.parseInt(to, 16) / PAGE];
      for (let page = start; page < end; page += BATCH)
        yield* readBatch({ memory, pages }, page, Math.min(BATCH, end - page));
    }
  } finally {
    closeSync(memory);
    closeSync(pages);
  }
}

const WRITABLE = /^([0-9a-f]+)-([0-9a-f]+) rw/gm;

function* readBatch(
  { memory, pages }: { readonly memory: number; readonly pages: number },
  page: number,
  count: number,
): Generator<Buffer, void, void> {
  const entries = Buffer.alloc(count * ENTRY_BYTES);
  readSync(pages, entries, 0, entries.length, page * ENTRY_BYTES);
  // Present, or swapped out.
  const isThere = (index: number) => ((entries[index * ENTRY_BYTES + ENTRY_BYTES - 1] ?? 0) & 0xc0) !== 0;
  for (let index = 0; index < count; index++) {
    let length = 0;
    while (index + length < count && isThere(index + length)) length++;
    if (length === 0) continue;
    const bytes = Buffer.alloc(length * PAGE);
    const read = readSync(memory, bytes, 0, bytes.length, (page + index) * PAGE);
    yield bytes.subarray(0, read);
    index += length;
  }
}
