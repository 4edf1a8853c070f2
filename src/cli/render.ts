import { toJsonLine } from "../lib/escape.ts";
import { toTagged } from "../protocol/cbor/tagged.ts";
import type { JobId } from "../protocol/id.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Context } from "./context.ts";
import { forPeople, toTexts, type Wording } from "./value-text.ts";

/** What is written to our own stdout or stderr. */
export interface Shown {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Uint8Array | string;
}

/** How one packet looks there; nothing for one that is not shown. */
export type Renderer = (packet: Packet) => readonly Shown[];

/** As the options say. */
export function toRenderer(context: Pick<Context, "globals" | "screen">): Renderer {
  return context.globals.json ? renderJson : toTextRenderer(forPeople(context));
}

/** Everything as text. */
export function toTextRenderer(wording: Wording): Renderer {
  return (packet) => toTexts(packet, wording).flatMap(renderPlain);
}

/** Bytes as they are. */
export function renderPlain(packet: Packet): ReturnType<Renderer> {
  if (packet.type !== "stdout" && packet.type !== "stderr") return [];
  return [{ stream: packet.type, bytes: packet.bytes }];
}

/** One JSON object per line, all on stdout. */
export function renderJson(packet: Packet): ReturnType<Renderer> {
  return packet.type === "closed" ? [] : [toLine(toJson(packet))];
}

/** The same, of one job among several. */
export function createJobJsonRenderer(job: JobId): Renderer {
  return (packet) => (packet.type === "closed" ? [] : [toLine({ job, ...toJson(packet) })]);
}

function toLine(value: object): Shown {
  return { stream: "stdout", bytes: `${toJsonLine(value)}\n` };
}

/** Each line behind the wall-clock time at which it began. `start`: of the job, in milliseconds since 1970. */
export function createTimestampRenderer(start: number): Renderer {
  const atLineStart = { stdout: true, stderr: true };
  return (packet) => {
    if (packet.type !== "stdout" && packet.type !== "stderr") return [];
    const time = Buffer.from(toTimestamp(start, packet));
    const bytes = prefixLines(packet.bytes, time, atLineStart[packet.type]);
    atLineStart[packet.type] = packet.bytes.at(-1) === NEWLINE;
    return [{ stream: packet.type, bytes }];
  };
}

/** The wall-clock time of a packet, as it stands before a line. */
export function toTimestamp(start: number, { at }: Packet): string {
  return `${new Date(start + at / 1_000).toISOString()} `;
}

const NEWLINE = 0x0a;

function prefixLines(bytes: Uint8Array, prefix: Uint8Array, atLineStart: boolean): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline + 1;
    if (start > 0 || atLineStart) parts.push(prefix);
    parts.push(bytes.subarray(start, end));
    start = end;
  }
  return Buffer.concat(parts);
}

function toJson(packet: Packet): object {
  switch (packet.type) {
    case "stdout":
    case "stderr":
      return { type: packet.type, number: packet.number, at: packet.at, ...toText(packet.bytes) };
    case "exit": {
      const { type, number, at, outcome, totals, usage, endedAt } = packet;
      return { type, number, at, outcome: toShownOutcome(outcome), totals, usage, endedAt };
    }
    case "value":
      return { ...packet, value: toTagged(packet.value) };
    case "resize":
    case "gap":
    case "closed":
      return packet;
  }
}

function toShownOutcome(outcome: Outcome): object {
  return outcome.type === "returned" ? { ...outcome, value: toTagged(outcome.value) } : outcome;
}

/** Bytes for JSON: text where they are UTF-8, otherwise base64. */
export function toText(bytes: Uint8Array): { text: string } | { bytes: string } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { bytes: Buffer.from(bytes).toString("base64") }; // it is no UTF-8
  }
}
