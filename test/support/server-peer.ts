import type { Receiver, Transport } from "../../src/client/transport.ts";
import {
  ClientFrame,
  decodeControl,
  type ServerFrame,
  type ServerMessage,
} from "../../src/protocol/control.ts";
import { DATA_HEADER_BYTES, type DataFrame, decodeData, writeDataHeader } from "../../src/protocol/data.ts";
import type { AppError } from "../../src/protocol/error.ts";
import { PROTOCOL_VERSION, type Welcome } from "../../src/protocol/hello.ts";
import type { SessionId } from "../../src/protocol/id.ts";
import { type PacketKind, RECORD_HEADER_BYTES, writeRecordHeader } from "../../src/protocol/packet.ts";
import { Outbox } from "../../src/protocol/reliable.ts";

/** Who hears what a test's server says: a client's session, or a socket on the way to one. */
export interface Ear {
  receiveText(text: string): void;
  receiveData(frame: Uint8Array<ArrayBuffer>): void;
  disconnected?: Receiver["disconnected"];
}

/** What a client said, control and data, in order. */
export type Heard = ClientFrame | ({ readonly type: "data" } & DataFrame);

/** A server as bare as it can be, at the other end of a client's peer: it keeps what it hears and says what it is told to. */
export class ServerPeer implements Transport {
  readonly heard: Heard[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  ear: Ear | undefined;
  /** Called with each frame that comes. */
  onFrame: (frame: Heard) => void = () => {};
  readonly #outbox = new Outbox<ServerMessage>();
  readonly #positions = new Map<number, number>();

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    const heard: Heard =
      typeof frame === "string" ? decodeControl(ClientFrame, frame) : { type: "data", ...decodeData(frame) };
    this.heard.push(heard);
    this.onFrame(heard);
  }

  listen(receiver: Receiver): void {
    this.ear = receiver;
  }

  /** Breaks the connection off. */
  cut(error: AppError): void {
    this.ear?.disconnected?.(error);
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }

  /** All frames of one type. */
  of<T extends Heard["type"]>(type: T): Extract<Heard, { type: T }>[] {
    return this.heard.filter((frame): frame is Extract<Heard, { type: T }> => frame.type === type);
  }

  /** Says something sequenced. */
  say(message: ServerMessage): void {
    this.sayBare(this.#outbox.stamp(message));
  }

  /** Says anything as it is. */
  sayBare(frame: ServerFrame | object): void {
    this.ear?.receiveText(toJson(frame));
  }

  welcome(changes: Partial<Welcome> = {}): void {
    this.sayBare({
      type: "welcome",
      version: PROTOCOL_VERSION,
      agent: { name: "farhandd", version: "9.9.9" },
      session: crypto.randomUUID() as SessionId,
      generation: 1,
      resume: "token",
      received: 0,
      heartbeat: 15_000,
      grace: 120_000,
      boot: "boot",
      limits: { controlFrameBytes: 1, dataFrameBytes: 1, controlWindowFrames: 1 },
      ...changes,
    });
  }

  /** Sends records on a channel, behind what was sent there before. */
  data(channel: number, ...records: Uint8Array[]): void {
    const bytes = Buffer.concat(records);
    const position = this.#positions.get(channel) ?? 0;
    const frame = new Uint8Array(DATA_HEADER_BYTES + bytes.length);
    writeDataHeader(frame, channel, position);
    frame.set(bytes, DATA_HEADER_BYTES);
    this.#positions.set(channel, position + bytes.length);
    this.ear?.receiveData(frame);
  }

  /** Ends a channel where it is. */
  end(channel: number): void {
    this.say({ type: "end", channel, position: this.#positions.get(channel) ?? 0 });
  }
}

/** JSON in which a number may be infinite: `1e999` is read as that. */
function toJson(value: object): string {
  const text = JSON.stringify(value, (_, field: unknown) =>
    field === Number.POSITIVE_INFINITY ? ENDLESS : field,
  );
  return text.replaceAll(`"${ENDLESS}"`, "1e999");
}

const ENDLESS = "a number without end";

/** A record: text of a stream, or the JSON of what it says. */
export function toRecord(kind: PacketKind, number: number, payload: string | object): Uint8Array {
  const bytes = new TextEncoder().encode(typeof payload === "string" ? payload : toJson(payload));
  const record = new Uint8Array(RECORD_HEADER_BYTES + bytes.length);
  record.set(bytes, RECORD_HEADER_BYTES);
  writeRecordHeader(new DataView(record.buffer), kind, { number, at: number * 1_000 }, bytes);
  return record;
}

/** The exit of a program that ended with `code` after so many bytes of stdout. */
export function toExit(number: number, { code = 0, stdoutBytes = 0, stderrBytes = 0 } = {}): Uint8Array {
  return toRecord("exit", number, {
    outcome: { type: "exited", code },
    totals: { packets: number, values: 0, stdoutBytes, stderrBytes },
    endedAt: "2026-01-01T00:00:00.000Z",
  });
}
