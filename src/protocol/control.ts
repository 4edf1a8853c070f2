import * as v from "valibot";
import { AppError, ErrorBody } from "./error.ts";
import { Hello, Welcome } from "./hello.ts";
import { HolderId, JobId, WriterId } from "./id.ts";
import { findExcess, parseForeignJson } from "./json.ts";
import { MAX_CONTROL_FRAME_BYTES } from "./limits.ts";
import { Returned } from "./outcome.ts";
import { TerminalSize } from "./terminal.ts";
import { Value } from "./value.ts";
import { WorkspaceName } from "./workspace.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(64));
const callId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const channelId = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0xffff_ffff));

/**
 * Where reading of a ledger starts: at a packet, or at the last few, of which there are so many or so many bytes. It may be at a
 * value instead, counted from 0, or at the last few of them; then a gap of no packets comes first, which tells what there was before
 * (since 1.4: to an older server a value is a packet, or a mistake).
 */
export const From = v.variant("type", [
  v.object({
    type: v.literal("since"),
    number: count,
    unit: v.optional(v.picklist(["packets", "values"])),
  }),
  v.object({
    type: v.literal("recent"),
    count,
    unit: v.optional(v.picklist(["packets", "bytes", "values"])),
  }),
]);
export type From = v.InferOutput<typeof From>;

/** Frames that matter carry `seq`, are kept until acknowledged, and cross exactly once in a session. */
const sequenced = { seq: v.pipe(v.number(), v.safeInteger(), v.minValue(1)), ack: v.optional(count) };

const Call = v.object({
  type: v.literal("call"),
  ...sequenced,
  call: callId,
  command: name,
  input: Value,
  /** Of a background command: the job's id. */
  job: v.optional(JobId),
  /** Of one that waits for this client from its start: opens its output from packet 0, as `open_output` would. */
  output: v.optional(v.object({ channel: channelId, holder: HolderId, limit: count })),
  /** Of a foreground command that says something on the way: opens that from packet 0, as `open_events` would. */
  events: v.optional(v.object({ channel: channelId, limit: count })),
  /** Of a background command that says nothing of them in its input: `CallTerms`, which are judged as its input is. */
  terms: v.optional(v.unknown()),
  /** What it counts paths from, and whose environment it has. */
  workspace: v.optional(WorkspaceName),
});
const Cancel = v.object({ type: v.literal("cancel"), ...sequenced, call: callId });
const OpenOutput = v.object({
  type: v.literal("open_output"),
  ...sequenced,
  channel: channelId,
  job: JobId,
  from: From,
  holder: v.optional(HolderId),
  /** The packet at which the holder is, where that is before the first one wanted: it has not consumed all that came. */
  hold: v.optional(count),
  /** The first credit. */
  limit: v.optional(count, 0),
});
const OpenInput = v.object({
  type: v.literal("open_input"),
  ...sequenced,
  channel: channelId,
  job: JobId,
  writer: WriterId,
});
/** What a foreground call says on the way, from a packet that was not consumed yet. */
const OpenEvents = v.object({
  type: v.literal("open_events"),
  ...sequenced,
  channel: channelId,
  call: callId,
  since: count,
  limit: v.optional(count, 0),
});
/** The bytes that a foreground call takes besides its input. */
const OpenCallInput = v.object({
  type: v.literal("open_call_input"),
  ...sequenced,
  channel: channelId,
  call: callId,
});
/** The terminal of a job has this size from now on, and its program is told. */
const Resize = v.object({
  type: v.literal("resize"),
  ...sequenced,
  job: JobId,
  ...TerminalSize.entries,
});
const Close = v.object({ type: v.literal("close"), ...sequenced, channel: channelId });
const End = v.object({ type: v.literal("end"), ...sequenced, channel: channelId, position: count });
const Discard = v.object({
  type: v.literal("discard"),
  ...sequenced,
  channel: channelId,
  stream: v.optional(v.picklist(["stdout", "stderr"])),
});
const Accepted = v.object({
  type: v.literal("accepted"),
  ...sequenced,
  call: callId,
  job: JobId,
  number: count,
});
/** How a foreground call ended, and of one whose `events` were wanted how many packets it has said (since 1.4). */
const answered = { ...sequenced, call: callId, packets: v.optional(count) };
const Result = v.object({ type: v.literal("result"), ...answered, result: Returned });
const Failed = v.object({ type: v.literal("failed"), ...answered, error: ErrorBody });
const Broken = v.object({ type: v.literal("broken"), ...sequenced, channel: channelId, error: ErrorBody });

/** Credit never falls, so a lost or repeated one does no harm: it needs no sequence number. */
const Credit = v.object({
  type: v.literal("credit"),
  channel: channelId,
  /** Bytes that came and are under way no more, whether or not they are consumed yet. */
  arrived: v.optional(count),
  received: count,
  limit: count,
  next: v.optional(count),
});
const Ack = v.object({ type: v.literal("ack"), ack: count });
/**
 * Says how much was sent, by which the other side notices that the last frames never came: the highest sequence number, and
 * the position of each channel on which something is under way.
 */
const Beat = v.object({
  type: v.literal("beat"),
  sent: v.optional(count),
  positions: v.optional(v.array(v.tuple([channelId, count]))),
});
export type Beat = v.InferOutput<typeof Beat>;
const Goodbye = v.object({ type: v.literal("goodbye"), error: v.optional(ErrorBody) });

/** What a client may say. */
export const ClientFrame = v.variant("type", [
  Hello,
  Call,
  Cancel,
  OpenOutput,
  OpenInput,
  OpenEvents,
  OpenCallInput,
  Resize,
  Close,
  End,
  Discard,
  Credit,
  Ack,
  Beat,
  Goodbye,
]);
export type ClientFrame = v.InferOutput<typeof ClientFrame>;

/** What a server may say. */
export const ServerFrame = v.variant("type", [
  Welcome,
  Accepted,
  Result,
  Failed,
  End,
  Discard,
  Broken,
  Credit,
  Ack,
  Beat,
  Goodbye,
]);
export type ServerFrame = v.InferOutput<typeof ServerFrame>;

type Sequenced<F> = F extends { readonly seq: number } ? F : never;
type Unstamped<F> = F extends unknown ? Omit<F, "seq" | "ack"> : never;

/** Sequenced frames as their sender writes them; the outbox adds `seq` and `ack`. */
export type ClientMessage = Unstamped<Sequenced<ClientFrame>>;
export type ServerMessage = Unstamped<Sequenced<ServerFrame>>;

/** Reads one control frame. Throws `protocol_error`, naming what is wrong and where. */
export function decodeControl<const S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> {
  if (isTooLarge(text)) throw refused(`is larger than ${MAX_CONTROL_FRAME_BYTES} bytes`);
  const parsed = v.safeParse(schema, parseForeignJson(text, refused), { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw refused(`is not valid at "${v.getDotPath(issue) ?? "."}": ${issue.message.slice(0, 200)}`);
}

/**
 * Why the other side does not accept a message as a control frame, on which it closes, as the rest of a sentence; undefined for one
 * that it accepts, whatever its numbers will be.
 */
export function findExcessOf(message: ClientMessage | ServerMessage): string | undefined {
  const longest = { seq: Number.MAX_SAFE_INTEGER, ack: Number.MAX_SAFE_INTEGER };
  const text = JSON.stringify({ ...message, ...longest });
  return isTooLarge(text) ? `takes more than ${MAX_CONTROL_FRAME_BYTES} bytes` : findExcess(text);
}

/** A UTF-16 unit takes at most three bytes, so that only a text that may be too large is counted. */
function isTooLarge(text: string): boolean {
  return text.length * 3 > MAX_CONTROL_FRAME_BYTES && Buffer.byteLength(text) > MAX_CONTROL_FRAME_BYTES;
}

function refused(what: string): AppError {
  return new AppError("protocol_error", `Cannot accept a control frame: it ${what}`);
}
