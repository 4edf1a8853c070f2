import { closeSync } from "node:fs";
import { delay, turn } from "../lib/abort.ts";
import { errorCode } from "./program.ts";

/** Bytes that Bun reads ahead of a stream's reader at most: two chunks (measured). */
const READ_AHEAD_BYTES = 512 * 1024;

/** The end of a program's output that we read. */
export interface OutputPipe {
  /** The next bytes, or undefined when nobody holds the other end any more. */
  read(): Promise<Uint8Array | undefined>;
  /** Bytes that a read would find at once; 0 where that cannot be told. */
  pending(): number;
  /** Resolves once all is read that the program left in the pipe by now, however much others go on writing to it. */
  caughtUp(signal: AbortSignal): Promise<void>;
  /** Stops reading: the program's next write gives SIGPIPE. A pending `read` resolves as ended. */
  close(): Promise<void>;
}

/** The end of a program's stdin that we write. */
export interface InputPipe {
  /** Resolves when the pipe has taken the bytes; rejects (EPIPE) when nobody will read them. */
  write(bytes: Uint8Array): Promise<void>;
  /** The program sees the end of its input. Call it after the last `write` has settled. */
  end(): void;
  /** Of a terminal: what is typed for the end of input instead, after which others may type on. */
  readonly endOfFile?: () => Uint8Array;
}

/** A descriptor of ours that is read. */
export interface Source {
  readonly number: number;
  /** Bytes that a read would find. */
  readonly pending: (number: number) => number;
}

/** Reads a stream; `fd` is its descriptor where that is a pipe or a terminal of ours. */
export function openOutput(stream: ReadableStream<Uint8Array>, fd?: Source): OutputPipe {
  const reader = stream.getReader();
  let total = 0;
  /** Bytes with which whoever reads is done: the next were asked for. */
  let settled = 0;
  let waiting = false;
  let ended = false;

  function end(): undefined {
    if (ended) return;
    ended = true;
    // Bun never closes a descriptor that it was given (and reads on after a cancel until this is closed).
    if (fd) closeSync(fd.number);
  }

  const pending = () => (fd && !ended ? fd.pending(fd.number) : 0);

  return {
    pending,
    async read() {
      settled = total;
      if (ended) return undefined;
      waiting = true;
      const { value } = await reader.read().catch(toEnd);
      waiting = false;
      if (value === undefined) return end();
      total += value.length;
      return value;
    },
    async caughtUp(signal) {
      // At the exit, up to two chunks may wait inside the stream, where they cannot be counted; the rest is counted by
      // the kernel. All is read when that much has come, or when the pipe is empty and a read has nothing to return.
      const enough = total + READ_AHEAD_BYTES + pending();
      for (let calm = 0, spins = 0; calm < 2 && !ended && settled < enough && !signal.aborted; spins++) {
        // Whoever takes what is read may be waiting (for room on a disk): no need to spin meanwhile.
        await (spins < 1_000 ? turn() : delay(10, signal));
        calm = waiting && pending() === 0 ? calm + 1 : 0;
      }
    },
    async close() {
      if (ended) return;
      await reader.cancel().catch(() => {}); // a stream that failed is as closed as one that was cancelled
      end();
    },
  };
}

/** A terminal that nobody holds any more is an error to its reader (EIO). */
function toEnd(error: unknown): { readonly value: undefined } {
  if (errorCode(error) === "EIO") return { value: undefined };
  throw error;
}

/**
 * Writes to a descriptor of ours. Bun's sink takes 64 KiB and then waits, so nothing piles up here. It writes through a
 * duplicate of the descriptor, so both are closed at the end.
 */
export function openInput(fd: number): InputPipe {
  const sink = Bun.file(fd).writer();
  let open = true;
  return {
    async write(bytes) {
      await sink.write(bytes);
      await sink.flush();
    },
    end() {
      if (!open) return;
      open = false;
      closeSync(fd);
      // What could not be written any more (EPIPE) was reported by the write itself.
      Promise.resolve(sink.end()).catch(() => {});
    },
  };
}
