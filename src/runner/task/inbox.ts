import { AppError } from "../../protocol/error.ts";
import { MAX_VALUE_BYTES } from "../../protocol/limits.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import { TaskDecoder, type TaskRecord } from "./record.ts";

/** What a task is to do next: an execution, or to end. */
export interface Errand {
  readonly type: "run" | "exit";
  readonly id: ExecutionId;
  /** As `encodeValue` writes them. */
  readonly args: Uint8Array;
}

export interface InboxOptions {
  /** The next bytes from the front, or undefined when there are no more. */
  readonly read: () => Promise<Uint8Array | undefined>;
  /** All that came before a mark was read. */
  readonly onMark: (id: ExecutionId) => void;
  /** It is to end, whatever it is doing; also when nobody is there any more to tell it something. */
  readonly onEnd: () => void;
}

/** What the front tells a task, read while that does something else. */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #decoder = new TaskDecoder();
  /** Pieces of arguments that are not complete. */
  readonly #pieces = new Map<ExecutionId, Uint8Array[]>();
  readonly #waiting: Errand[] = [];
  /** Executions that were asked for, and whose end was not told. */
  readonly #unfinished = new Set<ExecutionId>();
  #arrived = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** The first execution that was asked for and is not over. */
  get unfinished(): ExecutionId | undefined {
    return this.#unfinished.values().next().value;
  }

  /** Its end is told next. */
  finish(id: ExecutionId): void {
    this.#unfinished.delete(id);
  }

  /** Reads until there is no more. Rejects with `protocol_error`. */
  async fill(): Promise<void> {
    try {
      for (;;) {
        const chunk = await this.#options.read();
        if (chunk === undefined) return;
        for (const record of this.#decoder.push(chunk)) this.#take(record);
      }
    } finally {
      this.#options.onEnd();
    }
  }

  /** Nothing that waits is begun any more. */
  close(): void {
    this.#isClosed = true;
    this.#arrived.resolve();
  }

  /** The next errand: once it is closed how to end, if anybody has told that. */
  async next(): Promise<Errand | undefined> {
    for (;;) {
      if (this.#isClosed) return this.#waiting.find(({ type }) => type === "exit");
      const errand = this.#waiting.shift();
      if (errand !== undefined) return errand;
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }

  #take({ kind, id, payload }: TaskRecord): void {
    switch (kind) {
      case "args":
        return this.#add(id, payload);
      case "run":
      case "exit":
        this.#waiting.push({ type: kind, id, args: this.#complete(id, payload) });
        if (kind === "run") this.#unfinished.add(id);
        if (kind === "exit") this.#options.onEnd();
        return this.#arrived.resolve();
      case "drop":
        this.#pieces.delete(id);
        return;
      case "mark":
        this.#pieces.clear();
        return this.#options.onMark(id);
    }
  }

  #add(id: ExecutionId, payload: Uint8Array): void {
    const pieces = this.#pieces.get(id) ?? [];
    pieces.push(payload);
    this.#pieces.set(id, pieces);
    if (pieces.reduce((sum, { length }) => sum + length, 0) > MAX_VALUE_BYTES)
      throw new AppError("protocol_error", `Cannot take arguments of more than ${MAX_VALUE_BYTES} bytes`);
  }

  #complete(id: ExecutionId, last: Uint8Array): Uint8Array {
    const pieces = this.#pieces.get(id);
    this.#pieces.delete(id);
    return pieces === undefined ? last : Buffer.concat([...pieces, last]);
  }
}
