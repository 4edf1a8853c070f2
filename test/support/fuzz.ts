import { encodeFrame, OPCODE } from "./frame.ts";
import type { Random } from "./random.ts";

/** A valid message to start from: text, or the bytes of a data frame. */
export type Sample = Readonly<Record<string, unknown>> | Uint8Array;

/** Bytes on the wire that nobody should ever send: random ones, JSON in a valid envelope, and valid messages that were changed. */
export function createFuzz(
  random: Random,
  samples: () => readonly Sample[],
  isMasked: boolean,
): () => Uint8Array {
  const mask = isMasked ? ([1, 2, 3, 4] as const) : null;
  const text = (payload: string | Uint8Array) => encodeFrame({ opcode: OPCODE.text, payload, mask });
  const binary = (payload: Uint8Array) => encodeFrame({ opcode: OPCODE.binary, payload, mask });
  const kinds: readonly (() => Uint8Array)[] = [
    () => random.bytes(random.between(1, 200)),
    () =>
      encodeFrame({
        opcode: random.whole(16),
        fin: random.next() < 0.7,
        rsv: random.next() < 0.8 ? 0 : random.whole(8),
        mask: random.next() < 0.9 ? mask : isMasked ? null : [1, 2, 3, 4],
        payload: random.bytes(random.whole(300)),
      }),
    () => text(JSON.stringify(toAny(random, 3))),
    () => {
      const { type } = toObject(random.pick(samples()));
      return text(JSON.stringify({ ...toAnyObject(random, 2), type, seq: random.whole(4) }));
    },
    () => {
      const sample = random.pick(samples());
      return sample instanceof Uint8Array ? binary(change(random, sample)) : text(spoil(random, sample));
    },
    () => binary(random.bytes(random.between(0, 300))),
  ];
  return () => random.pick(kinds)();
}

/** A value of any shape, or an object of some of these fields, each with a value of any shape. */
export function toAnyInput(random: Random, fields: readonly string[]): unknown {
  if (random.next() < 0.1) return toAny(random, 3);
  const chosen = fields.filter(() => random.next() < 0.6);
  return {
    ...Object.fromEntries(chosen.map((field) => [field, toAny(random, 2)])),
    ...toAnyObject(random, 1),
  };
}

/** Text that is no JSON, or JSON of any shape. */
export function toAnyBody(random: Random, fields: readonly string[]): string | Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(toAnyInput(random, fields));
  if (random.next() < 0.7) return text;
  return random.next() < 0.8
    ? new Uint8Array(change(random, Buffer.from(text)))
    : new Uint8Array(random.bytes(random.whole(200)));
}

function toObject(sample: Sample): Readonly<Record<string, unknown>> {
  return sample instanceof Uint8Array ? { type: "data" } : sample;
}

/** One field is gone, is something else, or appears where it should not; or a byte of the text is another. */
function spoil(random: Random, sample: Readonly<Record<string, unknown>>): string | Uint8Array {
  const field = random.pick(Object.keys(sample));
  const { [field]: _, ...others } = sample;
  switch (random.whole(4)) {
    case 0:
      return JSON.stringify(others);
    case 1:
      return JSON.stringify({ ...sample, [field]: toAny(random, 2) });
    case 2:
      return JSON.stringify({ ...sample, ...toAnyObject(random, 2) });
    default:
      return change(random, Buffer.from(JSON.stringify(sample)));
  }
}

/** Some bits are others, or the end is missing. */
function change(random: Random, bytes: Uint8Array): Uint8Array {
  const changed = Buffer.from(bytes);
  if (random.next() < 0.3) return changed.subarray(0, random.whole(changed.length));
  for (let count = random.between(1, 3); count > 0; count--) {
    const at = random.whole(changed.length);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.whole(8));
  }
  return changed;
}

const WORDS = [
  "type",
  "seq",
  "ack",
  "call",
  "job",
  "channel",
  "position",
  "limit",
  "__proto__",
  "constructor",
  "é😀",
];
const ODD = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e308,
  "",
  "\0",
  "\ud800",
  "x".repeat(2_000),
];

function toAny(random: Random, depth: number): unknown {
  const kind = random.whole(depth > 0 ? 4 : 2);
  if (kind === 2) return Array.from({ length: random.whole(4) }, () => toAny(random, depth - 1));
  if (kind === 3) return toAnyObject(random, depth - 1);
  return kind === 0 ? random.pick(ODD) : random.whole(1_000);
}

function toAnyObject(random: Random, depth: number): Readonly<Record<string, unknown>> {
  const words = Array.from({ length: random.whole(5) }, () => random.pick(WORDS));
  return Object.fromEntries(words.map((word) => [word, toAny(random, depth)]));
}
