import { toJsonLine } from "../../lib/escape.ts";

/** What the first line of a chain stands behind. */
export const NO_HASH = "0".repeat(64);

/** Where a chain has come to: its newest line. */
export interface ChainEnd {
  readonly number: number;
  readonly hash: string;
}

/** A line as it was read. Its own hash fits it; whether it follows the line before is another matter. */
export interface AuditLine extends ChainEnd {
  /** Wall clock in ISO 8601. */
  readonly time: string;
  /** The hash of the line before. */
  readonly prev: string;
  readonly event: string;
  /** Everything that it says. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What is to become a line, once it is known which it follows: the time, and the rest as JSON without its braces. */
export interface AuditDraft {
  readonly time: string;
  readonly text: string;
}

/** The most characters of one text in a line, and of all of them. */
const MAX_TEXT = 4_096;
const MAX_TEXTS = 16_384;

/** Puts an event into words; texts of any length and content make one line of bounded length. */
export function createDraft(time: Date, fields: Readonly<Record<string, unknown>>): AuditDraft {
  const whole = toJsonLine(fields);
  const isShort = whole.length <= MAX_TEXT; // as nearly all are, which need not be gone through
  const text = isShort ? whole : toJsonLine(abridge(fields, { left: MAX_TEXTS }));
  return { time: time.toISOString(), text: text.slice(1, -1) };
}

/**
 * Makes a draft the line that follows `last`. The hash is SHA-256, in hexadecimal, of the bytes of the line before `,"hash":"`:
 * there is no other canonical form, so that `sed 's/,"hash":"[0-9a-f]*"}$//' | sha256sum` checks it.
 */
export function stamp({ time, text }: AuditDraft, last: ChainEnd): ChainEnd & { readonly line: string } {
  const number = last.number + 1;
  const body = `{"n":${number},"time":"${time}","prev":"${last.hash}",${text}`;
  const hash = digest(body);
  return { number, hash, line: `${body},"hash":"${hash}"}\n` };
}

/** Reads a line without its line break; undefined for what is none, or does not fit its own hash. */
export function findLine(line: string): AuditLine | undefined {
  const [, body, hash] = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/s.exec(line) ?? [];
  if (body === undefined || hash === undefined || digest(body) !== hash) return undefined;
  const fields = findObject(line);
  const { n: number, time, prev, event } = fields ?? {};
  if (fields === undefined || typeof number !== "number" || typeof time !== "string") return undefined;
  if (typeof prev !== "string" || typeof event !== "string") return undefined;
  return { number, time, prev, event, hash, fields };
}

/** SHA-256 in hexadecimal. */
export function digest(bytes: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function findObject(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line); // it begins and ends as an object does
  } catch {
    return undefined;
  }
}

/** Cuts texts that are too long, and leaves out what is too much; marks say so. */
function abridge(value: unknown, room: { left: number }): unknown {
  if (typeof value === "string") return abridgeText(value, room);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const kept = value.flatMap((item) => (room.left > 0 ? [abridge(item, room)] : []));
    return kept.length < value.length ? [...kept, mark(value.length - kept.length)] : kept;
  }
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  const kept = entries.flatMap(([name, field]) =>
    room.left > 0 ? [[abridgeText(name, room), abridge(field, room)] as const] : [],
  );
  const rest = entries.length - kept.length;
  return Object.fromEntries(rest > 0 ? [...kept, [mark(rest), true] as const] : kept);
}

function abridgeText(text: string, room: { left: number }): string {
  const length = Math.max(0, Math.min(text.length, MAX_TEXT, room.left));
  room.left -= length + 1;
  return length < text.length ? `${text.slice(0, length)}${mark(text.length - length)}` : text;
}

function mark(more: number): string {
  return `…(${more} more)`;
}
