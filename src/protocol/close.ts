import type { ErrorCode } from "./error.ts";

/**
 * Close codes of the channel, from the range that RFC 6455 section 7.4.2 leaves to applications. The reason text is
 * an error code and a sentence. 1000 is a goodbye; 1008 too many pings; 1009 a frame beyond the size limit; 1012 a server that restarts.
 */
export const CLOSE = {
  goodbye: 1000,
  abused: 1008,
  tooLarge: 1009,
  restarting: 1012,
  internal: 1011,
  protocolError: 4400,
  unauthenticated: 4401,
  sequenceGap: 4409,
  helloTimeout: 4408,
  sessionReplaced: 4410,
  unsupportedVersion: 4426,
  tooMany: 4429,
  peerLost: 4499,
} as const;
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/** The close code for an error that ends a connection. */
export function toCloseCode(code: ErrorCode): CloseCode {
  switch (code) {
    case "protocol_error":
      return CLOSE.protocolError;
    case "unauthenticated":
      return CLOSE.unauthenticated;
    case "sequence_gap":
      return CLOSE.sequenceGap;
    case "timed_out":
      return CLOSE.helloTimeout;
    case "session_replaced":
      return CLOSE.sessionReplaced;
    case "unsupported_version":
      return CLOSE.unsupportedVersion;
    case "too_many":
      return CLOSE.tooMany;
    case "peer_lost":
      return CLOSE.peerLost;
    case "shutting_down":
      return CLOSE.restarting;
    default:
      return CLOSE.internal;
  }
}
