import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { Litter } from "../../lib/litter.ts";
import { AppError } from "../../protocol/error.ts";
import type { WriterId } from "../../protocol/id.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import { encodeTaskRecord, type TaskRecordKind } from "../../runner/task/record.ts";
import type { Job } from "../jobs/job.ts";

/** How often what goes in pieces is copied on its way. */
const COPIES = 4;

/** The server's end of a task's stdin: whole records, at the pace at which the task reads them. */
export class Feed implements Disposable {
  readonly #job: Job;
  readonly #writer = crypto.randomUUID() as WriterId;
  readonly #bell = new Bell();
  readonly #litter = new Litter();
  /** What the keeper does not hold yet, oldest first. Of these only the first is ever under way: it may be left for want of room. */
  readonly #waiting: Uint8Array[] = [];
  readonly #listening: Disposable | undefined;
  /** What it holds, and how far it takes more. */
  #held = 0;
  #limit = 0;
  #isUnderWay = false;
  #isClosed = false;

  constructor(job: Job) {
    this.#job = job;
    this.#listening = job.keeper?.listen(job.start.job, this.#writer, {
      taken: (held, limit) => this.#take(held, limit),
      closed: () => this.#close(),
    });
    if (this.#listening === undefined) this.#close();
  }

  /** Sends a record without waiting, which is held here until it can go. */
  put(kind: TaskRecordKind, id: ExecutionId, payload?: Uint8Array): void {
    this.#waiting.push(encodeTaskRecord(kind, id, payload));
    this.#sendNext();
  }

  /**
   * Sends what an execution, or the end, is given, and resolves when all of it has gone. Rejects with the signal's reason, and
   * as `content` does, and has the task forget what it got of it; with `not_running` when nobody takes it any more.
   */
  async send(
    kind: "run" | "exit",
    id: ExecutionId,
    content: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    if (content instanceof Uint8Array && content.length <= MAX_PAYLOAD_BYTES)
      return this.put(kind, id, content);
    try {
      let last: Uint8Array | undefined;
      for await (const piece of toPieces(content)) {
        if (last !== undefined) await this.#putPiece(id, last, signal);
        last = piece;
      }
      this.put(kind, id, last);
    } catch (error) {
      if (!this.#isClosed) this.put("drop", id);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#listening?.[Symbol.dispose]();
    this.#close();
  }

  /** No more is held here than is under way. */
  async #putPiece(id: ExecutionId, piece: Uint8Array, signal: AbortSignal): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isClosed) await abortable(this.#bell.wait(), signal);
    if (this.#isClosed) throw new AppError("not_running", "The task's process has ended");
    this.put("args", id, piece);
    this.#litter.leave(COPIES * piece.length);
  }

  /** The keeper says what it holds, and how much more may be sent. */
  #take(held: number, limit: number): void {
    this.#limit = limit;
    const [first] = this.#waiting;
    if (first !== undefined && held >= this.#held + first.length) {
      this.#held += first.length;
      this.#waiting.shift();
      this.#isUnderWay = false;
      this.#bell.ring();
    }
    if (limit <= held) this.#isUnderWay = false; // it says so when there is room
    this.#sendNext();
  }

  /** As a whole it may go beyond the limit. */
  #sendNext(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#isUnderWay || this.#limit <= this.#held) return;
    this.#isUnderWay = true;
    const { job } = this.#job.start;
    const message = { type: "input", job, writer: this.#writer, offset: this.#held, whole: true } as const;
    this.#job.keeper?.send(message, first);
  }

  #close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    this.#bell.ring();
  }
}

/** Pieces that a record has room for each; at least one. */
async function* toPieces(
  content: Uint8Array | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let isEmpty = true;
  for await (const chunk of content instanceof Uint8Array ? [content] : content)
    for (let start = 0; start < chunk.length; start += MAX_PAYLOAD_BYTES) {
      isEmpty = false;
      yield chunk.subarray(start, start + MAX_PAYLOAD_BYTES);
    }
  if (isEmpty) yield new Uint8Array(0);
}
