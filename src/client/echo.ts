import { ClientError } from "./client-error.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { toMessage } from "../lib/message.ts";

/** Copies of what a job writes, on our own stdout and stderr. */
export class Echo {
  readonly #writers: Partial<Record<"stdout" | "stderr", Bun.FileSink>> = {};
  readonly #unread = new Set<"stdout" | "stderr">();

  /** Resolves once the bytes are the system's, or nobody reads ours any more. Throws a `ClientError` when they cannot be written. */
  async write({
    type: stream,
    bytes,
  }: {
    readonly type: string;
    readonly bytes?: Uint8Array;
  }): Promise<void> {
    if ((stream !== "stdout" && stream !== "stderr") || bytes === undefined || this.#unread.has(stream))
      return;
    try {
      // Asynchronous also where a pipe is stalled; never closed, since it is not ours alone.
      const writer = (this.#writers[stream] ??= Bun[stream].writer());
      await writer.write(bytes);
      await writer.flush();
    } catch (error) {
      if (toErrorCode(error) !== "EPIPE") throw toFailure(stream, error);
      this.#unread.add(stream);
    }
  }
}

function toFailure(stream: string, error: unknown): ClientError {
  const why = toMessage(error);
  const os = toErrorCode(error);
  return new ClientError("os_error", `Cannot copy to our ${stream}: ${why}`, {
    cause: error,
    ...(os !== undefined && { details: { os } }),
  });
}
