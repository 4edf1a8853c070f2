import * as v from "valibot";
import type { Packet } from "../protocol/packet.ts";
import { asJson, toTexts, type Wording } from "./value-text.ts";

/** What a task's process tells of itself: what it is, the execution that it is about, and what there is to it. */
const Told = v.union([
  v.strictTuple([v.string(), v.nullable(v.string())]),
  v.strictTuple([v.string(), v.nullable(v.string()), v.unknown()]),
]);

/** The packets as which one of a task's is shown where everything is text: in words, each of the steps that matter to people. */
export function toTaskTexts(packet: Packet, words: Wording): readonly Packet[] {
  if (packet.type !== "value" || !v.is(Told, packet.value)) return toTexts(packet, words);
  const [type, execution, payload] = packet.value;
  const line = toLine(type, payload);
  if (line === undefined) return [];
  const text = execution === null ? line : `${execution} ${line}`;
  return toTexts({ ...packet, value: text }, words);
}

function toLine(type: string, payload: unknown): string | undefined {
  switch (type) {
    case "ready":
      return v.is(Restored, payload) ? "ready, with the state that was saved last" : "ready";
    case "failed":
      return `init threw ${toThrown(payload)}`;
    case "responded":
      return `answered ${asJson.toLine(payload, undefined)}`;
    case "threw":
      return `threw ${toThrown(payload)}`;
    case "exited":
      return payload === undefined ? "exited" : `exit threw ${toThrown(payload)}`;
    case "began":
    case "finished":
      return type;
    default:
      return undefined; // what it keeps, and what is between it and the server
  }
}

const Restored = v.object({ restored: v.literal(true) });
const Thrown = v.object({ name: v.optional(v.string(), "Error"), message: v.string() });

function toThrown(payload: unknown): string {
  const parsed = v.safeParse(Thrown, payload);
  return parsed.success ? `${parsed.output.name}: ${parsed.output.message}` : "something";
}
