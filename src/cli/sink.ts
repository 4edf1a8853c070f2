import { toErrorCode } from "../lib/error-code.ts";

/** What a sink needs of `Bun.stdout.writer()`: either call may throw, or answer a promise that rejects. */
export interface Writer {
  write(bytes: Uint8Array | string): number | Promise<number>;
  flush(): number | Promise<number>;
}

/** Our own stdout or stderr cannot be written, for another reason than that nobody reads it. */
export class WriteFailure extends Error {
  constructor(name: string, cause: Error) {
    super(`Cannot write to ${name}: ${REASONS[toErrorCode(cause) ?? ""] ?? cause.message}`, { cause });
    this.name = "WriteFailure";
  }
}

const REASONS: Record<string, string> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file is as large as it may be",
  EIO: "input/output error",
  EBADF: "it is closed",
};

const BATCH_BYTES = 64 * 1024;

interface Chunk {
  readonly bytes: Uint8Array | string;
  readonly done: () => void;
}

/**
 * One of our own output streams. Writes are queued and never wait for each other; each says when its bytes are the
 * system's. Bun's file sink writes asynchronously and reports every failure; `Bun.write` stops the event loop while a
 * pipe is stalled, and `process.stdout` takes longer to open than a short command to run.
 */
export class Sink {
  readonly #name: string;
  readonly #open: () => Writer;
  #writer: Writer | undefined;
  readonly #queue: Chunk[] = [];
  #isRaw = false;
  #failure: Error | undefined;
  #writing: Promise<void> | undefined;

  /** `open`: called with the first write. */
  constructor(name: string, open: () => Writer) {
    this.#name = name;
    this.#open = open;
  }

  /** Whether its reader is gone: what is written now goes nowhere, without complaint. */
  get isUnread(): boolean {
    return toErrorCode(this.#failure) === "EPIPE";
  }

  /** Why it can no longer be written, apart from a reader that is gone. */
  get failure(): WriteFailure | undefined {
    if (this.#failure === undefined || this.isUnread) return undefined;
    return new WriteFailure(this.#name, this.#failure);
  }

  /** Writes, and calls back once the bytes are the system's, or never will be. */
  write(bytes: Uint8Array | string, done: () => void = () => {}): void {
    const text = this.#isRaw && typeof bytes === "string" ? bytes.replace(/\r?\n/g, "\r\n") : bytes;
    this.#queue.push({ bytes: text, done });
    this.#writing ??= this.#drain();
  }

  writeLine(line: string): void {
    this.write(`${line}\n`);
  }

  /** Texts end their lines as a raw terminal needs it, until disposed. */
  useRawLines(): Disposable {
    this.#isRaw = true;
    return { [Symbol.dispose]: () => void (this.#isRaw = false) };
  }

  /** Resolves when everything written is done with. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  /** Never rejects: a failure is kept, and what comes after it is dropped. */
  async #drain(): Promise<void> {
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      await this.#writeAll(batch);
      for (const { done } of batch) done();
    }
    this.#writing = undefined;
  }

  /** The next chunks, together about as large as one that is worth a write of its own. */
  #take(): readonly Chunk[] {
    let [count, bytes] = [0, 0];
    while (count < this.#queue.length && bytes < BATCH_BYTES)
      bytes += this.#queue[count++]?.bytes.length ?? 0;
    return this.#queue.splice(0, count);
  }

  async #writeAll(batch: readonly Chunk[]): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      this.#writer ??= this.#open();
      for (const { bytes } of batch) await this.#writer.write(bytes);
      await this.#writer.flush();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
  }
}
