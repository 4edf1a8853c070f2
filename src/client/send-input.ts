import type * as v from "valibot";
import { sendInput as command } from "../commands/send-input.ts";
import { AppError } from "../protocol/error.ts";
import type { WriterId } from "../protocol/id.ts";
import { MAX_SEND_BYTES } from "../protocol/limits.ts";
import type { Source } from "./feed.ts";
import { toResult } from "./invoke.ts";
import type { Session } from "./session.ts";

export interface SendOptions {
  /** Add a newline behind it. */
  readonly newline?: boolean;
  /** End the job's input behind it, for every writer. */
  readonly eof?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The job that has got input, and how many bytes. */
export type Sent = v.InferOutput<typeof command.result>;

const NEWLINE = new Uint8Array([0x0a]);

/**
 * Gives a job input: exactly these bytes. Resolves when its keeper holds them all. Up to 256 KiB go in one piece; of more,
 * what others send may come between. `ref`: as for every verb. Throws as the command does.
 */
export async function sendInput(
  session: Session,
  ref: string,
  source: Source,
  { newline = false, eof = false, signal }: SendOptions = {},
): Promise<Sent> {
  const writer = crypto.randomUUID() as WriterId;
  let job = ref;
  let offset = 0;
  for await (const { bytes, isLast } of toPieces(withNewline(toChunks(source), newline))) {
    const input = { job, text: { bytes: bytes.toString("base64") }, eof: eof && isLast, writer, offset };
    // The writer and the offset keep a piece from being taken twice; only an end that was taken looks like a refusal then.
    const isIdempotent = !input.eof;
    const sent = toResult(command, await session.call(command.name, input, { signal, isIdempotent }));
    [job, offset] = [sent.id, offset + bytes.length];
    if (isLast) return { ...sent, bytes: offset };
  }
  throw new AppError("internal", "A source has no last piece");
}

async function* toChunks(source: Source): AsyncGenerator<Uint8Array, void, void> {
  if (typeof source === "string") yield new TextEncoder().encode(source);
  else if (source instanceof Uint8Array) yield source;
  else yield* source;
}

async function* withNewline(
  chunks: AsyncIterable<Uint8Array>,
  newline: boolean,
): AsyncGenerator<Uint8Array, void, void> {
  yield* chunks;
  if (newline) yield NEWLINE;
}

/** As few pieces as there can be, at least one. */
async function* toPieces(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly bytes: Buffer; readonly isLast: boolean }, void, void> {
  let kept: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    kept.push(chunk);
    size += chunk.length;
    if (size <= MAX_SEND_BYTES) continue;
    const all = Buffer.concat(kept);
    let start = 0;
    for (; all.length - start > MAX_SEND_BYTES; start += MAX_SEND_BYTES)
      yield { bytes: all.subarray(start, start + MAX_SEND_BYTES), isLast: false };
    kept = [all.subarray(start)];
    size = all.length - start;
  }
  yield { bytes: Buffer.concat(kept), isLast: true };
}
