import { FrameReader, OPCODE, type ReadFrame } from "./frame.ts";
import type { Direction, Transform } from "./lane.ts";
import type { Faults } from "./proxy-connection.ts";
import { openProxy, type Proxy } from "./proxy.ts";

/** A frame on its way through a proxy. */
export interface PassingFrame extends ReadFrame {
  /** Which of the proxy's connections it is on. */
  readonly connection: number;
  readonly direction: Direction;
  /** Frames that came before it in this direction of this connection. */
  readonly index: number;
  /** What a text frame says; undefined where that is no JSON object. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

/**
 * What becomes of a frame: it passes, is lost, comes twice, or comes after the one that follows it; or these frames come in
 * its place, as they stood on the wire: itself between others, say, that were recorded on an earlier connection.
 */
export type Verdict = "pass" | "drop" | "duplicate" | "swap" | readonly ReadFrame[];

export interface WebSocketProxy extends Proxy {
  /** Decides on each frame; may be replaced at any time. */
  rule: (frame: PassingFrame) => Verdict;
  /** Frames as they came, of all connections and both directions, except those that `record` declined. */
  readonly frames: readonly PassingFrame[];
  /** Puts frames between those that pass on a connection, as they stood on the wire. */
  readonly replay: (connection: number, direction: Direction, frames: readonly ReadFrame[]) => void;
}

export interface WebSocketProxyOptions {
  readonly faults?: Faults | ((connection: number) => Faults);
  /** Which frames to keep (default all): a test of much output declines those. */
  readonly record?: (frame: PassingFrame) => boolean;
}

/** A proxy that knows where frames begin once a connection is upgraded. Everything else about it is the TCP proxy's. */
export async function openWebSocketProxy(
  target: string,
  rule: (frame: PassingFrame) => Verdict = () => "pass",
  { faults, record = () => true }: WebSocketProxyOptions = {},
): Promise<WebSocketProxy> {
  const frames: PassingFrame[] = [];
  const judge = (frame: PassingFrame) => {
    if (record(frame)) frames.push(frame);
    return proxy.rule(frame);
  };
  const plain = await openProxy(target, faults, {
    transform: (connection, direction) => createJudged(connection, direction, judge),
  });
  const proxy: WebSocketProxy = Object.assign(plain, {
    rule,
    frames,
    replay: (connection: number, direction: Direction, replayed: readonly ReadFrame[]) => {
      const lane = plain.connections[connection]?.lanes[direction];
      for (const { wire } of replayed) lane?.push(wire);
    },
  });
  return proxy;
}

/** One direction of a connection, frame by frame. */
function createJudged(
  connection: number,
  direction: Direction,
  judge: (frame: PassingFrame) => Verdict,
): Transform {
  const reader = new FrameReader();
  let isHeadPassed = false;
  let index = 0;
  let swapped: Uint8Array[] = [];
  return (chunk) => {
    const passed: Uint8Array[] = [];
    for (const frame of reader.read(chunk)) {
      const verdict = judge({ ...frame, connection, direction, index: index++, json: findJson(frame) });
      if (verdict === "swap") swapped.push(frame.wire);
      else {
        passed.push(...toWire(frame, verdict), ...swapped);
        swapped = [];
      }
    }
    if (reader.head !== undefined && !isHeadPassed) {
      isHeadPassed = true;
      passed.unshift(Buffer.from(reader.head, "latin1"));
    }
    if (isHeadPassed && !reader.isUpgraded) passed.push(reader.takeRest());
    return passed.filter(({ length }) => length > 0);
  };
}

function toWire(frame: ReadFrame, verdict: Exclude<Verdict, "swap">): readonly Uint8Array[] {
  switch (verdict) {
    case "pass":
      return [frame.wire];
    case "drop":
      return [];
    case "duplicate":
      return [frame.wire, frame.wire];
    default:
      return verdict.map(({ wire }) => wire);
  }
}

function findJson({ opcode, payload }: ReadFrame): PassingFrame["json"] {
  if (opcode !== OPCODE.text) return undefined;
  try {
    const value: unknown = JSON.parse(payload.toString());
    // Nothing is known of its fields, which is what the type says.
    return typeof value === "object" && value !== null ? (value as PassingFrame["json"]) : undefined;
  } catch {
    return undefined;
  }
}
