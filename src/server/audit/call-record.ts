import type { Program } from "../../commands/define.ts";
import type { StartRecord } from "../../ledger/start.ts";
import { isPlain } from "../../protocol/cbor/plain.ts";
import { toRecorded } from "../jobs/mask.ts";
import type { ServerMessage } from "../../protocol/control.ts";
import type { Outcome } from "../../protocol/outcome.ts";
import type { Exit } from "../../protocol/packet.ts";

/** Characters of a value that JSON does not say. */
const MAX_TEXT = 1_024;

type Fields = Readonly<Record<string, unknown>>;

/** What an audit log says of a call's input: no values of what the command calls confidential, and nothing that says nothing. */
export function describeInput(
  { confidential = [] }: { readonly confidential?: readonly string[] },
  input: unknown,
): Fields {
  if (typeof input !== "object" || input === null) return {};
  return Object.fromEntries(
    Object.entries(input)
      .map(([name, value]) => [name, confidential.includes(name) ? toNames(value) : value] as const)
      .filter(([, value]) => !isEmpty(value)),
  );
}

/** The same of an input that may be more than JSON: what JSON does not say of it is told as text. */
export function describeRich(command: { readonly confidential?: readonly string[] }, input: unknown): Fields {
  if (typeof input !== "object" || input === null) return {};
  const plain = Object.entries(input).map(([name, value]) => [name, isPlain(value) ? value : toText(value)]);
  return describeInput(command, Object.fromEntries(plain));
}

/** The same of a call that becomes a job: what it runs stands apart. */
export function describeProgram(input: Fields, program: Program): Fields {
  const { argv: _words, shell: _line, cwd: _directory, ...rest } = input;
  return { argv: toRecorded(program), cwd: program.cwd, ...(!isEmpty(rest) && { input: rest }) };
}

/** What it says of an answer. */
export function describeAnswer(answer: ServerMessage): Fields {
  switch (answer.type) {
    case "accepted":
      return { outcome: "accepted", job: answer.job, number: answer.number };
    case "failed":
      return { outcome: answer.error.code, message: answer.error.message };
    default:
      return { outcome: "ok" };
  }
}

/** What it says of how a job ended. */
export function describeEnd({ owner, job, number, command }: StartRecord, exit: Exit): Fields {
  const { outcome, totals, endedAt } = exit;
  const output = { stdout: totals.stdoutBytes, stderr: totals.stderrBytes };
  return { user: owner, job, number, command, outcome: toFacts(outcome), ended: endedAt, output };
}

/** An outcome without the values that a program returned or threw. */
function toFacts(outcome: Outcome): Fields {
  const { type } = outcome;
  return type === "returned" || type === "threw" ? { type } : outcome;
}

function toText(value: unknown): string {
  return Bun.inspect(value, { compact: true }).slice(0, MAX_TEXT).toWellFormed();
}

function toNames(value: unknown): readonly string[] | undefined {
  return typeof value === "object" && value !== null ? Object.keys(value).sort() : undefined;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === false) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
