import { turn } from "../lib/abort.ts";

/** Bytes after which whoever says more waits until that is written. */
const WINDOW_BYTES = 64 * 1024;

/** Says records in order: what is said in one turn goes in one piece, and at the pace at which it is read. */
export class Outbox {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  #records: Uint8Array[] = [];
  #bytes = 0;
  #writing: Promise<void> | undefined;

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  /** Resolves when there is room for more. Rejects when nobody reads any more. */
  async put(record: Uint8Array): Promise<void> {
    this.#records.push(record);
    this.#bytes += record.length;
    if (this.#writing === undefined) {
      this.#writing = this.#drain().finally(() => (this.#writing = undefined));
      this.#writing.catch(() => {}); // whoever says more, or waits for the end, is told
    }
    if (this.#bytes >= WINDOW_BYTES) await this.flush();
  }

  /** Resolves when all is written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    await turn();
    while (this.#records.length > 0) {
      const all = this.#records.length === 1 ? this.#records[0] : Buffer.concat(this.#records);
      this.#records = [];
      this.#bytes = 0;
      if (all !== undefined) await this.#write(all);
    }
  }
}
