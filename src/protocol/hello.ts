import * as v from "valibot";
import { SessionId } from "./id.ts";
import { MAX_HEARTBEAT_INTERVAL } from "./limits.ts";
import { WorkspaceName } from "./workspace.ts";

/** The WebSocket subprotocol; its number is the protocol's major version. */
export const SUBPROTOCOL = "farhand.v1";
/** The minor version: raised with each addition that an older peer may ignore. */
export const PROTOCOL_VERSION = { major: 1, minor: 4 } as const;
/** The minor version from which on foreground calls say and take something on the way. */
export const STREAMS_SINCE = 2;
/** The minor version from which on `exec` knows secrets. */
export const SECRETS_SINCE = 3;
/** The minor version from which on there are commands of the server's own: a call's `terms` are obeyed, and values may be CBOR. */
export const CUSTOM_SINCE = 4;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const version = v.object({ major: count, minor: count });
const heartbeat = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_HEARTBEAT_INTERVAL));
const limits = v.object({ controlFrameBytes: count, dataFrameBytes: count, controlWindowFrames: count });

/** Who speaks: a program and its version, for logs and `--version`. */
const Agent = v.object({
  name: v.pipe(v.string(), v.maxLength(64)),
  version: v.pipe(v.string(), v.maxLength(64)),
});

/** The client's first frame. `resume` names a session to go on with; without it, or when that is gone, a new one is opened. */
export const Hello = v.object({
  type: v.literal("hello"),
  version,
  agent: Agent,
  /** Milliseconds; the smaller of both sides' offers counts. */
  heartbeat,
  /** The highest sequence number received in the session; 0 in a new one. */
  received: count,
  resume: v.optional(v.object({ session: SessionId, generation: count, token: v.string() })),
  /** A private workspace that was made up for this session: kept as long as that, and gone with the client's goodbye. */
  workspace: v.optional(WorkspaceName),
});
export type Hello = v.InferOutput<typeof Hello>;

/** The server's answer. */
export const Welcome = v.object({
  type: v.literal("welcome"),
  version,
  agent: Agent,
  session: SessionId,
  /** Raised by each attachment of a connection to the session; lower ones are closed. */
  generation: count,
  /** Presented with the session's id and this generation to attach again. */
  resume: v.string(),
  received: count,
  /** Milliseconds; what both sides now keep. */
  heartbeat,
  /** Milliseconds that the session is kept without a connection. */
  grace: count,
  /** Differs after a reboot of the machine. */
  boot: v.string(),
  limits,
});
export type Welcome = v.InferOutput<typeof Welcome>;
