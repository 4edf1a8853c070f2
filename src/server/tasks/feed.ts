import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { AppError } from "../../protocol/error.ts";
import type { WriterId } from "../../protocol/id.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import { encodeTaskRecord, type TaskRecordKind } from "../../runner/task/record.ts";
import type { Job } from "../jobs/job.ts";

/** A record that the keeper is not known to hold. */
interface Sent {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The server's end of a task's stdin: whole records, at the pace at which the task reads them. */
export class Feed implements Disposable {
  readonly #job: Job;
  readonly #writer = crypto.randomUUID() as WriterId;
  readonly #bell = new Bell();
  /** What the keeper does not hold yet, as far as it has said. */
  readonly #sent: Sent[] = [];
  readonly #listening: Disposable | undefined;
  #position = 0;
  #limit = 0;
  /** The keeper had no room for what was sent last. */
  #isLeft = false;
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
    const bytes = encodeTaskRecord(kind, id, payload);
    const record = { offset: this.#position, bytes };
    this.#position += bytes.length;
    this.#sent.push(record);
    if (record.offset < this.#limit && !this.#isLeft) this.#send(record);
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
    while (this.#position >= this.#limit && !this.#isClosed) await abortable(this.#bell.wait(), signal);
    if (this.#isClosed) throw new AppError("not_running", "The task's process has ended");
    this.put("args", id, piece);
  }

  /** The keeper says what it holds, and how much more may be sent. */
  #take(held: number, limit: number): void {
    const before = this.#limit;
    this.#limit = limit;
    while (this.#sent[0] !== undefined && toEnd(this.#sent[0]) <= held) this.#sent.shift();
    if (limit <= held) this.#isLeft = true;
    else if (this.#isLeft) {
      this.#isLeft = false;
      this.#sendFrom(0);
    } else this.#sendFrom(before);
    this.#bell.ring();
  }

  /** Sends what could not go before. What the keeper holds already does it no harm. */
  #sendFrom(offset: number): void {
    for (const record of this.#sent)
      if (record.offset >= offset && record.offset < this.#limit) this.#send(record);
  }

  #send({ offset, bytes }: Sent): void {
    const { job } = this.#job.start;
    this.#job.keeper?.send({ type: "input", job, writer: this.#writer, offset, whole: true }, bytes);
  }

  #close(): void {
    this.#isClosed = true;
    this.#sent.length = 0;
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

function toEnd({ offset, bytes }: Sent): number {
  return offset + bytes.length;
}
