import * as v from "valibot";
import { StartRecord } from "../ledger/start.ts";
import { Credentials } from "../process/credentials.ts";
import { Environment } from "../protocol/environment.ts";
import { AppError, ErrorBody } from "../protocol/error.ts";
import { HolderId, JobId, KeeperId, WriterId } from "../protocol/id.ts";
import { Ended } from "../protocol/job.ts";
import { Exit } from "../protocol/packet.ts";
import { TerminalSize } from "../protocol/terminal.ts";

/** The link's version. Within a major version it only grows: unknown verbs are answered, unknown fields ignored. */
export const LINK_VERSION = { major: 1, minor: 5 } as const;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const version = v.object({ major: count, minor: count });
const held = { job: JobId, holder: HolderId };
const stream = v.picklist(["stdout", "stderr"]);
const signal = v.custom<NodeJS.Signals>(
  (value) => typeof value === "string" && /^SIG[A-Z0-9+-]+$/.test(value),
);

/** What a front says to a keeper. Verbs with a `request` are answered under it. */
export const FrontMessage = v.variant("type", [
  v.object({
    type: v.literal("hello"),
    version,
    build: v.string(),
    /** Milliseconds that a hold survives its client or the front (default two minutes). */
    grace: v.optional(count),
  }),
  v.object({
    type: v.literal("spawn"),
    request: count,
    start: StartRecord,
    env: Environment,
    umask: count,
    stdin: v.boolean(),
    holder: v.optional(HolderId),
    /** What is run, where its argv[0] does not name it (since 1.3). */
    file: v.optional(v.string()),
    /** Its directory is named without links: where one leads by now it does not start (since 1.4; an older keeper starts it there). */
    exact: v.optional(v.boolean()),
    /** What is really run, where the start record does not show all of it (since 1.4). */
    argv: v.optional(v.array(v.string())),
    /** As whom it runs, if not as the keeper itself (since 1.4: never sent to an older one, which would run it as that). */
    user: v.optional(Credentials),
    /**
     * It is a runner, and the bytes behind the message are its order: what its stdin gives it before anything else. On a descriptor
     * of its own (protocol/said.ts) it says values and how it ends (since 1.5: never sent to an older one).
     */
    speaks: v.optional(v.boolean()),
  }),
  /** Holds the job at `position` of its ledger; a hold of the same id is replaced. */
  v.object({ type: v.literal("attach"), ...held, position: count }),
  /** The holder needs nothing below `position` any more. */
  v.object({ type: v.literal("hold"), ...held, position: count }),
  v.object({ type: v.literal("release"), ...held }),
  /** The holder's client is gone; its hold ends after the grace unless it attaches again. */
  v.object({ type: v.literal("orphan"), ...held }),
  /** The holder does not read this stream any more. */
  v.object({ type: v.literal("discard"), ...held, stream }),
  /** Asks for the writer's state, which arrives as `taken` or `input_closed`. */
  v.object({ type: v.literal("writer"), job: JobId, writer: WriterId }),
  /**
   * Carries bytes behind the message. `whole` (since 1.2): they are one piece, which a writer that may send anything at all
   * may send however long it is; if there is no room any more it is left, and `taken` says when there is again.
   */
  v.object({
    type: v.literal("input"),
    job: JobId,
    writer: WriterId,
    offset: count,
    whole: v.optional(v.boolean()),
  }),
  v.object({ type: v.literal("end_input"), job: JobId, writer: WriterId, offset: count }),
  /** The job's terminal has this size from now on (since 1.3, as jobs with terminals are). */
  v.object({ type: v.literal("resize"), job: JobId, ...TerminalSize.entries }),
  v.object({ type: v.literal("signal"), request: count, job: JobId, signal }),
  /**
   * Ends all processes of the job by `signal`, and by KILL after `grace` (ms); answered when they are gone. Its outcome is
   * `cancelled` unless it has another already.
   */
  v.object({ type: v.literal("cancel"), request: count, job: JobId, signal, grace: count, by: v.string() }),
  /** Asks for a sign of life (since 1.1; a refusal is one too). */
  v.object({ type: v.literal("ping"), request: count }),
  /** Drop the oldest output until at most `bytes` are kept, as far as no holder needs it. */
  v.object({ type: v.literal("trim"), job: JobId, bytes: count }),
  /** Take no new jobs, and end with the last one. */
  v.object({ type: v.literal("retire") }),
  /** The front stops on purpose: without jobs there is nothing to wait for. */
  v.object({ type: v.literal("goodbye") }),
]);
export type FrontMessage = v.InferOutput<typeof FrontMessage>;

/** Where a job stands: the next packet, the position up to which its ledger may be read, and its exit if it had one. */
export const JobProgress = v.object({ job: JobId, next: count, position: count, exit: v.optional(Exit) });
export type JobProgress = v.InferOutput<typeof JobProgress>;

/** What a keeper says to a front. */
export const KeeperMessage = v.variant("type", [
  v.object({
    type: v.literal("hello"),
    version,
    build: v.string(),
    keeper: KeeperId,
    pid: count,
    jobs: v.array(JobProgress),
  }),
  /** `ended`: what a cancel did. Keepers of version 1.0 answer at once, and do not tell. */
  v.object({
    type: v.literal("reply"),
    request: count,
    error: v.optional(ErrorBody),
    ended: v.optional(Ended),
  }),
  /** `created` is false when a job of this id existed already. */
  v.object({ type: v.literal("spawned"), request: count, created: v.boolean() }),
  v.object({ type: v.literal("progress"), ...JobProgress.entries }),
  /** Input up to `held` is accepted; the writer may send up to `limit`. */
  v.object({ type: v.literal("taken"), job: JobId, writer: WriterId, held: count, limit: count }),
  v.object({ type: v.literal("input_closed"), job: JobId, writer: WriterId }),
  /** The ledger is complete, and this keeper has done with the job. */
  v.object({ type: v.literal("closed"), ...JobProgress.entries }),
  v.object({ type: v.literal("unknown_verb"), verb: v.string() }),
]);
export type KeeperMessage = v.InferOutput<typeof KeeperMessage>;

/** A message with the bytes behind it. */
export interface LinkFrame {
  readonly message: unknown;
  readonly bytes: Uint8Array;
}

const FRAME_HEADER_BYTES = 8;
/** Larger than any message: a job's list of thousands, or a spawn with the largest environment. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

/** A frame on the link, big-endian: length of the rest u32 · length of the JSON u32 · JSON · bytes. */
export function encodeLinkFrame(
  message: FrontMessage | KeeperMessage,
  bytes: Uint8Array = NO_BYTES,
): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(message));
  const frame = new Uint8Array(FRAME_HEADER_BYTES + json.length + bytes.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 4 + json.length + bytes.length);
  view.setUint32(4, json.length);
  frame.set(json, FRAME_HEADER_BYTES);
  frame.set(bytes, FRAME_HEADER_BYTES + json.length);
  return frame;
}

/** Cuts what arrives on the link into frames. */
export class LinkDecoder {
  #pending: Uint8Array = NO_BYTES;
  /** What came behind that, which is joined to it once a frame is whole. */
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes without which nothing more can be told. */
  #wanted = FRAME_HEADER_BYTES;

  /** The frames that are whole now. Throws `protocol_error` on a frame beyond all bounds. */
  *push(chunk: Uint8Array): Generator<LinkFrame, void, void> {
    this.#chunks.push(new Uint8Array(chunk));
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    this.#pending = Buffer.concat([this.#pending, ...this.#chunks.splice(0)]);
    for (;;) {
      this.#bytes = this.#pending.length;
      this.#wanted = FRAME_HEADER_BYTES;
      if (this.#pending.length < FRAME_HEADER_BYTES) return;
      const view = new DataView(this.#pending.buffer, this.#pending.byteOffset);
      const end = 4 + view.getUint32(0);
      const json = FRAME_HEADER_BYTES + view.getUint32(4);
      if (end > MAX_FRAME_BYTES || json > end)
        throw new AppError("protocol_error", "Cannot read the link: a frame is too long");
      this.#wanted = end;
      if (this.#pending.length < end) return;
      const frame = this.#pending.subarray(0, end);
      // A view of nothing would keep all that it is a view of.
      this.#pending = this.#pending.length === end ? NO_BYTES : this.#pending.subarray(end);
      const text = new TextDecoder().decode(frame.subarray(FRAME_HEADER_BYTES, json));
      yield { message: JSON.parse(text), bytes: frame.subarray(json) };
    }
  }
}

/** Writes frames to a socket in order; what the socket does not take waits for its `drain`. */
export class LinkWriter {
  readonly #socket: Pick<Bun.Socket, "write">;
  #waiting: Uint8Array[] = [];

  constructor(socket: Pick<Bun.Socket, "write">) {
    this.#socket = socket;
  }

  /** Whether everything written so far was taken by the socket. */
  get isClear(): boolean {
    return this.#waiting.length === 0;
  }

  write(frame: Uint8Array): void {
    this.#waiting.push(frame);
    if (this.#waiting.length === 1) this.drain();
  }

  /** Goes on after the socket had no room. */
  drain(): void {
    for (let frame = this.#waiting[0]; frame !== undefined; frame = this.#waiting[0]) {
      const taken = Math.max(0, this.#socket.write(frame));
      if (taken < frame.length) {
        this.#waiting[0] = frame.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }
}
