import type { Readable } from "../client/output.ts";
import type { Missing } from "../client/tally.ts";
import type { Packet, SeenExit } from "../protocol/packet.ts";
import type { Renderer } from "./render.ts";
import type { Sink } from "./sink.ts";

/** Our own output streams. */
export interface Sinks {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

export interface PlayOptions {
  readonly sinks: Sinks;
  readonly render: Renderer;
  /** Whether both of the job's streams are written to our stdout, so that they have one reader. */
  readonly isShared: boolean;
  /** What is done when nobody reads our stdout any more: tell the job, or stop reading it. */
  readonly unread: "tell" | "stop";
  /** Where to stop: at the exit, or when nobody holds the job's pipes any more. */
  readonly until: "exit" | "closed";
  /** Whether to stop after this packet, once it is shown. */
  readonly isLast?: (packet: Packet) => boolean;
}

export interface Played {
  /** Undefined if it was not among the packets read. */
  readonly exit: SeenExit | undefined;
  readonly missing: Missing | undefined;
}

/**
 * Writes a job's output to our own, each stream at the pace of its reader. A packet counts as consumed once it is
 * written; when nobody reads one of ours, the job is told or left. Throws a `WriteFailure` when ours cannot be written.
 */
export async function play(output: Readable, options: PlayOptions): Promise<Played> {
  const { sinks, render, isShared, until } = options;
  const unread = new Set<Sink>();
  let exit: SeenExit | undefined;
  const written = (sink: Sink, stream: "stdout" | "stderr" | undefined) => {
    if (sink.failure !== undefined) output.close(sink.failure);
    if (!sink.isUnread || unread.has(sink)) return;
    unread.add(sink);
    if (options.unread === "tell") output.discard(stream);
    else if (sink === sinks.stdout) output.close();
  };
  for await (const packet of output) {
    if (packet.type === "exit") exit = packet;
    if (packet.type === "closed") exit ??= packet.exit;
    const shown = render(packet);
    let left = shown.length;
    if (left === 0) output.consumed(packet);
    for (const { stream, bytes } of shown) {
      const { [stream]: sink } = sinks;
      sink.write(bytes, () => {
        written(sink, isShared ? undefined : stream);
        if (--left === 0 && sink.failure === undefined) output.consumed(packet);
      });
    }
    if (packet.type === until || options.isLast?.(packet)) break;
  }
  await Promise.all([sinks.stdout.flushed(), sinks.stderr.flushed()]);
  const failure = sinks.stdout.failure ?? sinks.stderr.failure;
  if (failure !== undefined) throw failure;
  return { exit, missing: output.missing };
}
