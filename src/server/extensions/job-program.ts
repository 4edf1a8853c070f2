import type { Program } from "../../commands/define.ts";
import type { Caller } from "../../module/caller.ts";
import type { Again } from "../../process/again.ts";
import { encodeValue } from "../../protocol/cbor/payload.ts";
import type { CallTerms, Terms } from "../../protocol/terms.ts";
import { encodeOrder, type Ordered } from "../../runner/order.ts";
import { describeRich } from "../audit/call-record.ts";
import { toRunnerEnvironment } from "../environment.ts";
import type { CustomCommand } from "./custom.ts";

/** Characters of an input that the record of a job shows. */
const MAX_SHOWN = 256;

/** A call of a background command of the operator's own. */
export interface JobCall {
  readonly command: CustomCommand;
  readonly input: unknown;
  readonly caller: Caller;
  readonly cwd: string;
  /** What its caller's workspace gives it. */
  readonly env: Readonly<Record<string, string>>;
  readonly terms: CallTerms;
}

/** The job of such a call: a runner of ours, which is shown as the command and its input. */
export function toJobProgram(
  { command, input, caller, cwd, env, terms: { stdin, keepOutput, ...terms } }: JobCall,
  { argv: [file = "", ...words], argv0 }: Again,
): Program & { readonly recorded: readonly string[] } {
  return {
    argv: [argv0, ...words],
    recorded: [command.name, ...toShown(command, input)],
    file,
    cwd,
    env,
    stdin,
    merge: false,
    keepBytes: keepOutput === "all" ? undefined : keepOutput,
    order: encodeOrder(toOrder(command, input, caller)),
    terms,
  };
}

/**
 * The same as it is run, once it is known that it may be: within the command's own time, and with an environment that decides nothing of
 * how our own executable runs. `ground`: the whole of it, for a command that is done as a user whom its caller need not be.
 */
export function toRun(
  program: Program,
  { timeoutMs }: CustomCommand,
  ground: Program["env"] | undefined,
): Program {
  return {
    ...program,
    env: toRunnerEnvironment(ground ?? program.env),
    terms: timeoutMs === undefined ? program.terms : withTime(program.terms, timeoutMs),
  };
}

function toOrder({ name, unit }: CustomCommand, input: unknown, caller: Caller): Ordered {
  if (unit.type === "program") {
    const payload = new TextEncoder().encode(JSON.stringify(input));
    return { order: { type: "program", command: name, argv: [...unit.argv] }, module: NO_BYTES, payload };
  }
  const { config, source } = unit;
  const order = { type: "command" as const, command: name, caller, ...(config !== undefined && { config }) };
  return { order, module: source, payload: encodeValue(input) };
}

const NO_BYTES = new Uint8Array(0);

function withTime(terms: Terms, timeoutMs: number): Terms {
  const execMs = Math.min(terms.limits?.execMs ?? Number.POSITIVE_INFINITY, timeoutMs);
  return { ...terms, limits: { ...terms.limits, execMs } };
}

/** The input as people are shown it: short, and without what nobody is to see. */
function toShown(command: CustomCommand, input: unknown): readonly string[] {
  const text = JSON.stringify(describeRich(command, input));
  if (text === "{}") return [];
  if (text.length <= MAX_SHOWN) return [text];
  // Whoever asks again under the same key is to be answered only if it is the same that he asks.
  const digest = new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 16);
  return [`${text.slice(0, MAX_SHOWN).toWellFormed()}… (sha256 ${digest})`];
}
