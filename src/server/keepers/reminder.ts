import type { FrontMessage } from "../../keeper/link.ts";
import type { HolderId, JobId, WriterId } from "../../protocol/id.ts";

type Stream = "stdout" | "stderr";
type Input = Extract<FrontMessage, { type: "input" | "end_input" }>;

/** What a front says to a keeper, and the bytes that go with it. */
export interface Told {
  readonly message: FrontMessage;
  readonly bytes?: Uint8Array | undefined;
}

/** Where a holder is, or that it has let go while nobody could be told. */
type Hold =
  | { readonly type: "held"; position: number; readonly discarded: Set<Stream> }
  | { readonly type: "released" };

/** Input of one writer that the keeper has not said to hold yet, in order. */
type Sent = { readonly message: Input; readonly bytes?: Uint8Array | undefined }[];

/** What a keeper is told anew over its next connection: who holds which job where, and input that it may not have got. */
export class Reminder {
  readonly #holds = new Map<JobId, Map<HolderId, Hold>>();
  readonly #inputs = new Map<JobId, Map<WriterId, Sent>>();

  /** Notes what the keeper is told; `isSent` unless there is no connection at the moment. */
  note({ message, bytes }: Told, isSent: boolean): void {
    switch (message.type) {
      case "spawn":
        if (message.holder !== undefined) this.#hold(message.start.job, message.holder, 0);
        return;
      case "attach":
        return this.#hold(message.job, message.holder, message.position);
      case "hold": {
        const hold = this.#find(message.job, message.holder);
        if (hold !== undefined) hold.position = message.position;
        return;
      }
      case "discard":
        this.#find(message.job, message.holder)?.discarded.add(message.stream);
        return;
      case "release":
      case "orphan": // by itself a keeper takes every holder of a front that is gone for an orphan
        this.#holds.get(message.job)?.delete(message.holder);
        if (!isSent && message.type === "release")
          at(this.#holds, message.job).set(message.holder, { type: "released" });
        return;
      case "input":
      case "end_input":
        return this.#send({ message, bytes: bytes?.slice() });
    }
  }

  /** The keeper holds a writer's input up to this offset. */
  taken(job: JobId, writer: WriterId, held: number): void {
    const sent = this.#inputs.get(job)?.get(writer);
    while (sent?.[0] !== undefined && toEnd(sent[0]) <= held) sent.shift();
    if (sent?.length === 0) this.closed(job, writer);
  }

  /** The keeper takes nothing more from this writer. */
  closed(job: JobId, writer: WriterId): void {
    this.#inputs.get(job)?.delete(writer);
  }

  /** The keeper has done with the job. */
  forget(job: JobId): void {
    this.#holds.delete(job);
    this.#inputs.delete(job);
  }

  /** Everything noted, in an order in which it can be told. */
  *list(): Generator<Told, void, void> {
    for (const [job, holds] of this.#holds)
      for (const [holder, hold] of holds) yield* listHold({ job, holder }, hold);
    for (const inputs of this.#inputs.values()) for (const sent of inputs.values()) yield* sent;
  }

  #hold(job: JobId, holder: HolderId, position: number): void {
    at(this.#holds, job).set(holder, { type: "held", position, discarded: new Set() });
  }

  #find(job: JobId, holder: HolderId): Extract<Hold, { type: "held" }> | undefined {
    const hold = this.#holds.get(job)?.get(holder);
    return hold?.type === "held" ? hold : undefined;
  }

  #send(input: Sent[number]): void {
    const inputs = at(this.#inputs, input.message.job);
    const sent = inputs.get(input.message.writer);
    if (sent === undefined) inputs.set(input.message.writer, [input]);
    else sent.push(input);
  }
}

function* listHold(held: { job: JobId; holder: HolderId }, hold: Hold): Generator<Told, void, void> {
  if (hold.type === "released") return yield { message: { type: "release", ...held } };
  yield { message: { type: "attach", ...held, position: hold.position } };
  for (const stream of hold.discarded) yield { message: { type: "discard", ...held, stream } };
}

/** Input is held once everything before this offset is; its end, only when the writer is closed. */
function toEnd({ message, bytes }: Sent[number]): number {
  return message.type === "end_input" ? Number.POSITIVE_INFINITY : message.offset + (bytes?.length ?? 0);
}

function at<K, V>(shares: Map<JobId, Map<K, V>>, job: JobId): Map<K, V> {
  const share = shares.get(job) ?? new Map<K, V>();
  shares.set(job, share);
  return share;
}
