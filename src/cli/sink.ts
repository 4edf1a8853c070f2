/** What a sink needs of `process.stdout` or `process.stderr`. */
export interface Writable {
  write(bytes: Uint8Array | string, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** Our own stdout or stderr cannot be written, for another reason than that nobody reads it. */
export class WriteFailure extends Error {
  readonly code: string;

  constructor(name: string, cause: Error) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : "unknown error";
    super(`Cannot write to ${name}: ${REASONS[code] ?? code}`, { cause });
    this.name = "WriteFailure";
    this.code = code;
  }
}

const REASONS: Record<string, string> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file is as large as it may be",
  EIO: "input/output error",
  EBADF: "it is closed",
};

/**
 * One of our own output streams. It is opened with its first byte, since opening costs a short command its speed; writes
 * never wait for each other, and each says when it is done.
 */
export class Sink {
  readonly #name: string;
  readonly #open: () => Writable;
  #stream: Writable | undefined;
  #failure: Error | undefined;
  #pending = 0;
  #idle = Promise.withResolvers<void>();

  constructor(name: string, open: () => Writable) {
    this.#name = name;
    this.#open = open;
  }

  /** Whether its reader is gone: what is written now goes nowhere, without complaint. */
  get isUnread(): boolean {
    return this.#failure !== undefined && "code" in this.#failure && this.#failure.code === "EPIPE";
  }

  /** Why it can no longer be written, apart from a reader that is gone. */
  get failure(): WriteFailure | undefined {
    return this.#failure === undefined || this.isUnread
      ? undefined
      : new WriteFailure(this.#name, this.#failure);
  }

  /** Writes, and calls back once the bytes are the system's, or never will be. */
  write(bytes: Uint8Array | string, done: () => void = () => {}): void {
    if (this.#failure !== undefined) return done();
    this.#stream ??= this.#opened();
    this.#pending++;
    this.#stream.write(bytes, (error) => {
      if (error) this.#failure ??= error;
      this.#pending--;
      done();
      if (this.#pending === 0) this.#idle.resolve();
    });
  }

  writeLine(line: string): void {
    this.write(`${line}\n`);
  }

  /** Resolves when everything written is done with. */
  async flushed(): Promise<void> {
    while (this.#pending > 0) {
      this.#idle = Promise.withResolvers<void>();
      await this.#idle.promise;
    }
  }

  #opened(): Writable {
    const stream = this.#open();
    stream.on("error", (error) => {
      this.#failure ??= error;
    });
    return stream;
  }
}
