import { type AuditLine, type ChainEnd, digest, findLine, NO_HASH } from "./line.ts";
import { openSnapshot, type RawLine, readLines } from "./reading.ts";

/** What is wrong with a chain, at the first place where something is. */
export interface AuditFault {
  readonly kind: "changed" | "missing" | "inserted" | "reordered" | "cut";
  /** The number of the line that is wrong, or that is expected there. */
  readonly number: number;
  readonly file?: string;
  /** The place in the file, counted from 1. */
  readonly at?: number;
  /** What is wrong, as the rest of a sentence. */
  readonly why: string;
}

/** What a proof of an audit log has found. */
export interface AuditProof {
  readonly holds: boolean;
  readonly lines: number;
  readonly files: number;
  /** Numbers of the first and the last line that are proven. */
  readonly first?: number;
  readonly last?: number;
  /** The hash of the last: kept elsewhere, it proves later that everything up to here is as it was. */
  readonly hash?: string;
  readonly time?: string;
  /** Beginnings of lines that killed writers have left, as a line behind each says. */
  readonly torn: number;
  /** Numbers up to this were removed as the configuration asks, as a line says. */
  readonly pruned?: number;
  readonly fault?: AuditFault;
}

/**
 * Proves the chain of an audit log, or tells the first place where it breaks. `expect`: a hash that was noted before; without
 * one, nobody can tell that the newest lines were cut off. Throws the system's error where the log cannot be read.
 */
export async function verifyAudit(directory: string, expect?: string): Promise<AuditProof> {
  using snapshot = openSnapshot(directory);
  const chain = new Chain(expect);
  for await (const raw of readLines(snapshot)) if (!chain.take(raw)) break;
  return { ...chain.conclude(), files: snapshot.files.length };
}

/** A chain as it is followed, line by line. */
class Chain {
  readonly #expect: string | undefined;
  #first: AuditLine | undefined;
  #last: AuditLine | undefined;
  #lines = 0;
  #torn = 0;
  /** What is no line, until the next one says that a writer was killed there, or does not. */
  #odd: RawLine | undefined;
  /** A line with a number too high, until the next one tells whether others are missing or it stands in a wrong place. */
  #early: { readonly raw: RawLine; readonly line: AuditLine } | undefined;
  #anchor: ChainEnd | undefined;
  #isExpected = false;
  #fault: AuditFault | undefined;

  constructor(expect: string | undefined) {
    this.#expect = expect;
  }

  /** Answers whether there is any use in going on. */
  take(raw: RawLine): boolean {
    const line = raw.isEnded ? findLine(Buffer.from(raw.bytes).toString()) : undefined;
    if (this.#early !== undefined) this.#settleEarly(line);
    else if (this.#odd !== undefined) this.#settleOdd(this.#odd, line);
    if (this.#fault !== undefined) return false;
    if (line === undefined) this.#odd = raw;
    else this.#follow(raw, line);
    return this.#fault === undefined;
  }

  conclude(): Omit<AuditProof, "files"> {
    if (this.#early !== undefined) this.#settleEarly(undefined);
    else if (this.#odd !== undefined) this.#settleOdd(this.#odd, undefined);
    this.#checkBeginning();
    if (this.#fault === undefined && this.#expect !== undefined && !this.#isExpected)
      this.#fault = {
        kind: "cut",
        number: this.#next,
        why: `no line has the hash ${this.#expect}: it, and what followed it, was cut off or replaced`,
      };
    const last = this.#last;
    return {
      holds: this.#fault === undefined,
      lines: this.#lines,
      ...(this.#first && { first: this.#first.number }),
      ...(last && { last: last.number, hash: last.hash, time: last.time }),
      torn: this.#torn,
      ...(this.#isPruned && { pruned: (this.#first?.number ?? 1) - 1 }),
      ...(this.#fault && { fault: this.#fault }),
    };
  }

  get #next(): number {
    return (this.#last?.number ?? 0) + 1;
  }

  get #isPruned(): boolean {
    return this.#first !== undefined && this.#first.number > 1 && this.#fault === undefined;
  }

  #follow(raw: RawLine, line: AuditLine): void {
    const last = this.#last;
    if (last === undefined || line.number === last.number + 1) {
      if (last !== undefined && line.prev !== last.hash)
        return this.#break(
          "changed",
          raw,
          last.number,
          "the next line follows another: it was changed, and its hash made anew",
        );
      return this.#admit(line);
    }
    if (line.number > last.number + 1) {
      this.#early = { raw, line };
      return;
    }
    const why = `it stands behind line ${last.number}: it was inserted or repeated`;
    this.#break("inserted", raw, line.number, why);
  }

  #admit(line: AuditLine): void {
    this.#first ??= line;
    this.#last = line;
    this.#lines++;
    if (line.hash === this.#expect || line.prev === this.#expect) this.#isExpected = true;
    const { event, through, through_hash: hash } = line.fields;
    if (event === "audit_pruned" && typeof through === "number" && typeof hash === "string")
      this.#anchor = { number: through, hash };
  }

  #settleEarly(next: AuditLine | undefined): void {
    const early = this.#early;
    if (early === undefined) return;
    const missing = this.#next;
    const { number } = early.line;
    if (next !== undefined && next.number < number)
      return this.#break("reordered", early.raw, number, `it stands before line ${next.number}`);
    const which = missing === number - 1 ? `line ${missing} is` : `lines ${missing} to ${number - 1} are`;
    this.#break("missing", early.raw, missing, `${which} gone`);
  }

  /** A line that is none is only harmless as the beginning of one, and if the next line says so. */
  #settleOdd(odd: RawLine, next: AuditLine | undefined): void {
    this.#odd = undefined;
    const { event, bytes, sha256 } = next?.fields ?? {};
    if (event === "audit_torn" && bytes === odd.bytes.length && sha256 === digest(odd.bytes)) {
      this.#torn++;
      return;
    }
    if (!odd.isEnded && next === undefined)
      return this.#break(
        "cut",
        odd,
        this.#next,
        "it ends in its middle: its writer was killed, or somebody cut it; the next start of the server makes a note of it",
      );
    this.#break("changed", odd, this.#next, "it does not fit its own hash");
  }

  /** A chain begins at 1, or behind what a line of its own says was removed. */
  #checkBeginning(): void {
    const first = this.#first;
    if (first === undefined || this.#fault !== undefined) return;
    if (
      first.number === 1
        ? first.prev === NO_HASH
        : first.number - 1 === this.#anchor?.number && first.prev === this.#anchor.hash
    )
      return;
    const why =
      first.number === 1
        ? "it does not begin a chain"
        : `lines 1 to ${first.number - 1} are gone, and none says that they were removed by the configuration`;
    this.#fault = { kind: first.number === 1 ? "changed" : "missing", number: 1, why };
  }

  #break(kind: AuditFault["kind"], { file, at }: RawLine, number: number, why: string): void {
    this.#fault ??= { kind, number, file, at, why };
  }
}
