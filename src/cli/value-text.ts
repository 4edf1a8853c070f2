import { escapeLines, toJsonLine, toJsonText } from "../lib/escape.ts";
import { isPlain } from "../protocol/cbor/plain.ts";
import { toTagged } from "../protocol/cbor/tagged.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Surroundings } from "./context.ts";

/** Levels of a value that people are shown. */
const MAX_SHOWN_DEPTH = 12;

/** How values become text. */
export interface Wording {
  /** One of many that are said, on a line. `index`: how many were said before it, where that is known. */
  readonly toLine: (value: unknown, index: number | undefined) => string;
  /** The one that is answered in the end, perhaps in several lines; nothing for nothing. */
  readonly toAnswer: (value: unknown) => string;
}

/** All as JSON. */
export const asJson: Wording = {
  toLine: (value) => toJsonLine(toTagged(value)),
  toAnswer: (value) => (value === undefined ? "" : toJsonLine(toTagged(value))),
};

/**
 * Text as it is, and JSON for the rest. Where a program reads it, nothing of it is changed; on a terminal it is made harmless, and
 * what JSON has not is shown there as Bun shows it.
 */
export function forPeople({ screen }: Pick<Surroundings, "screen">): Wording {
  let isTerminal: boolean | undefined;
  const show = (value: unknown, space?: number) => {
    isTerminal ??= screen() !== undefined;
    const text = typeof value === "string" ? value : toText(value, isTerminal, space);
    return isTerminal ? escapeLines(text) : text;
  };
  return {
    toLine: (value) => show(value),
    toAnswer: (value) => (value === undefined || value === null ? "" : show(value, 2)),
  };
}

/** The same, with the number of each value and a tab before it. */
export function numbered({ toLine, toAnswer }: Wording): Wording {
  return { toLine: (value, index) => `${index ?? "?"}\t${toLine(value, index)}`, toAnswer };
}

/** The packets as which one is shown where everything is text: a value is a line of stdout, and so is, before its exit, what a job has returned. */
export function toTexts(packet: Packet, { toLine, toAnswer }: Wording): readonly Packet[] {
  const { number, at } = packet;
  const toStdout = (text: string) =>
    ({ type: "stdout", number, at, bytes: Buffer.from(`${text}\n`) }) as const;
  if (packet.type === "value") return [toStdout(toLine(packet.value, packet.index))];
  if (packet.type !== "exit" || packet.outcome.type !== "returned") return [packet];
  const answer = toAnswer(packet.outcome.value);
  return answer === "" ? [packet] : [toStdout(answer), packet];
}

/** `space`: of each level, where it may take several lines. */
function toText(value: unknown, isTerminal: boolean, space: number | undefined): string {
  if (isTerminal && !isPlain(value)) {
    return Bun.inspect(value, { depth: MAX_SHOWN_DEPTH, compact: space === undefined });
  }
  return space === undefined ? toJsonLine(toTagged(value)) : toJsonText(toTagged(value), space);
}
