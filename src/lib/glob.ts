import { toUnits } from "./utf8.ts";

/** What one place of a pattern takes: a run of anything, any one character, or one of a set. */
type Piece =
  | { readonly type: "run" }
  | { readonly type: "any" }
  | { readonly type: "one"; readonly unit: number }
  | {
      readonly type: "set";
      readonly negated: boolean;
      readonly ranges: readonly (readonly [from: number, to: number])[];
    };

/**
 * What a pattern of one name takes: `*` for anything, `?` for one character, `[a-z]` or `[!a-z]` for one of some, and `\` before
 * what means itself. Names are bytes: what is no UTF-8 counts as a character for each byte. It takes no longer than the
 * pattern's length times the name's, whatever they are.
 */
export class Glob {
  readonly #pieces: readonly Piece[];

  constructor(pattern: Uint8Array) {
    this.#pieces = parsePieces(toUnits(pattern));
  }

  /** Whether a name is meant, all of it. */
  matches(name: Uint8Array): boolean {
    const units = toUnits(name);
    let [at, piece] = [0, 0];
    // Of several runs only the last has to be tried at other lengths: the others leave it all that it could need.
    let retry: { at: number; readonly piece: number } | undefined;
    while (at < units.length) {
      const expected = this.#pieces[piece];
      if (expected?.type === "run") retry = { at, piece: ++piece };
      else if (expected !== undefined && takes(expected, units[at] ?? 0)) {
        at++;
        piece++;
      } else if (retry !== undefined) {
        at = ++retry.at;
        piece = retry.piece;
      } else return false;
    }
    return this.#pieces.slice(piece).every(({ type }) => type === "run");
  }
}

/** Whether a name holds what a pattern means something by. */
export function isPattern(name: Uint8Array): boolean {
  return MAGIC.some((unit) => name.includes(unit));
}

const [STAR, QUESTION, OPEN, CLOSE, BACKSLASH, DASH, BANG, CARET] = [..."*?[]\\-!^"].map((letter) =>
  letter.charCodeAt(0),
) as [number, number, number, number, number, number, number, number];
const MAGIC: readonly number[] = [STAR, QUESTION, OPEN, BACKSLASH];

function takes(piece: Piece, unit: number): boolean {
  switch (piece.type) {
    case "run":
      return false;
    case "any":
      return true;
    case "one":
      return piece.unit === unit;
    case "set":
      return piece.negated !== piece.ranges.some(([from, to]) => from <= unit && unit <= to);
  }
}

function parsePieces(units: readonly number[]): Piece[] {
  const pieces: Piece[] = [];
  for (let index = 0; index < units.length;) {
    const { piece, next } = parsePiece(units, index);
    // Two runs on end are one.
    if (piece.type !== "run" || pieces.at(-1)?.type !== "run") pieces.push(piece);
    index = next;
  }
  return pieces;
}

interface Parsed {
  readonly piece: Piece;
  readonly next: number;
}

function parsePiece(units: readonly number[], index: number): Parsed {
  const unit = units[index] ?? 0;
  const next = index + 1;
  if (unit === STAR) return { piece: { type: "run" }, next };
  if (unit === QUESTION) return { piece: { type: "any" }, next };
  if (unit === OPEN) return parseSet(units, index) ?? { piece: { type: "one", unit }, next };
  if (unit !== BACKSLASH || next >= units.length) return { piece: { type: "one", unit }, next };
  return { piece: { type: "one", unit: units[next] ?? 0 }, next: next + 1 };
}

/** Reads `[…]`, in which a `]` that comes first means itself; undefined if it is not closed. */
function parseSet(units: readonly number[], open: number): Parsed | undefined {
  const negated = units[open + 1] === BANG || units[open + 1] === CARET;
  const first = open + (negated ? 2 : 1);
  const ranges: (readonly [number, number])[] = [];
  for (let index = first; index < units.length;) {
    if (units[index] === CLOSE && index > first)
      return { piece: { type: "set", negated, ranges }, next: index + 1 };
    const from = parseMember(units, index);
    const isRange =
      units[from.next] === DASH && from.next + 1 < units.length && units[from.next + 1] !== CLOSE;
    const to = isRange ? parseMember(units, from.next + 1) : from;
    ranges.push([from.unit, to.unit]);
    index = to.next;
  }
  return undefined;
}

function parseMember(
  units: readonly number[],
  index: number,
): { readonly unit: number; readonly next: number } {
  const escaped = units[index] === BACKSLASH && index + 1 < units.length;
  const at = escaped ? index + 1 : index;
  return { unit: units[at] ?? 0, next: at + 1 };
}
