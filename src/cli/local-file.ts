import { open } from "node:fs/promises";
import { AppError } from "../protocol/error.ts";
import { toMessage } from "../lib/message.ts";

/** Bytes that are read at once. */
const CHUNK = 256 * 1024;

/** What a file on this machine holds, be it a FIFO or a device. Throws `invalid_input` when it cannot be read. */
export async function* readLocalFile(path: string): AsyncGenerator<Uint8Array, void, void> {
  try {
    await using file = await open(path);
    for (;;) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(CHUNK), 0, CHUNK);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw new AppError("invalid_input", `Cannot read "${path}": ${describe(error)}`, { cause: error });
  }
}

/** Of `ENOENT: no such file or directory, open 'x'` what a person wants to know. */
function describe(error: unknown): string {
  const message = toMessage(error);
  return message.replace(/^(E[A-Z0-9]+): ([^,]*).*$/s, "$2 ($1)");
}
