import { commands } from "../../commands/commands.ts";
import type { CommandContext } from "../../commands/context.ts";
import { turn } from "../../lib/abort.ts";
import { Litter } from "../../lib/litter.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { type ClientFrame, findExcessOf, type ServerMessage } from "../../protocol/control.ts";
import { AppError, toErrorBody } from "../../protocol/error.ts";
import {
  CALL_WINDOW_BYTES,
  MAX_CALLS,
  MIN_CALL_WINDOW_BYTES,
  SESSION_EVENT_BYTES,
} from "../../protocol/limits.ts";
import { fromValue, toJsonValue } from "../../protocol/value.ts";
import { DEFAULT_WORKSPACE } from "../../protocol/workspace.ts";
import { describeAnswer, describeInput, describeProgram } from "../audit/call-record.ts";
import type { Builtin } from "../../commands/index.ts";
import type { CheckedCommand } from "../auth/grants.ts";
import type { Identity } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import type { Catalogue } from "../catalogue.ts";
import type { Login } from "../logins/login.ts";
import type { Delegate } from "../runners/delegate.ts";
import { CallInput } from "./call-input.ts";
import { CallOutput } from "./call-output.ts";
import type { CallStreams } from "./channels.ts";
import { demandValues } from "./skew.ts";
import { Checks, type ChecksOptions } from "./checks.ts";
import { CustomCalls, type CustomCallsOptions } from "./custom-calls.ts";
import { parseInput } from "./parse-input.ts";

/** Bytes of garbage that a call leaves (measured). */
const CALL_LITTER = 16 * 1024;
/** Milliseconds after which a command that says one thing after another lets others have their turn. */
const MAX_BUSY = 5;

export interface CallsOptions extends ChecksOptions, CustomCallsOptions {
  readonly log: Log;
  readonly catalogue: Pick<Catalogue, "find" | "findOwn">;
  readonly delegate: Pick<Delegate, "run" | "confine" | "toFooting">;
  /** The minor version of the protocol that the client speaks. */
  readonly minor: () => number;
  readonly onAnswer: (answer: ServerMessage) => void;
}

type Stream = AsyncGenerator<unknown, unknown, void>;

export type Call = Extract<ClientFrame, { type: "call" }>;

/** A call with what was found out about it. */
interface Order {
  readonly frame: Call;
  readonly running: Running;
  readonly command: Builtin;
  readonly role: Role;
  readonly login?: Login | undefined;
}

interface Work {
  readonly command: Extract<Builtin, { kind: "foreground" }>;
  /** The input as the command's schema has it, and as it came. */
  readonly parsed: unknown;
  readonly input: unknown;
  readonly context: CommandContext;
  readonly role: Role;
  readonly login: Login | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

interface Running {
  readonly controller: AbortController;
  /** What its caller sends besides its input, if it takes that. */
  input: CallInput | undefined;
}

/** The calls of one session that are not answered yet. Each is answered exactly once, unless all are aborted. */
export class Calls implements CallStreams {
  readonly #options: CallsOptions;
  readonly #checks: Checks;
  readonly #custom: CustomCalls;
  readonly #running = new Map<number, Running>();
  /** What calls have said, as long as it is not all read: also of those that are answered. */
  readonly #outputs = new Map<number, CallOutput>();
  readonly #litter = new Litter();
  #last = 0;
  /** Resolves when the next call may begin that starts no job. */
  #turns: Promise<void> = Promise.resolve();

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#checks = new Checks(options);
    this.#custom = new CustomCalls(options, this.#checks);
  }

  /** Runs by itself until it is answered. Throws `protocol_error` for an id that was used, `too_many`. */
  start(frame: Call): void {
    if (frame.call <= this.#last)
      throw new AppError("protocol_error", `Cannot accept call ${frame.call}: its id was used`);
    if (this.#running.size >= MAX_CALLS || this.#outputs.size >= MAX_CALLS)
      throw new AppError("too_many", `Cannot accept more than ${MAX_CALLS} calls at once`);
    this.#last = frame.call;
    const running: Running = { controller: new AbortController(), input: undefined };
    this.#running.set(frame.call, running);
    if (frame.events !== undefined) this.#outputs.set(frame.call, new CallOutput(() => this.#window));
    this.#invoke(frame, running)
      .catch((error: unknown): ServerMessage => this.#toFailure(frame, error))
      .then((answer) => {
        running.input?.close();
        const output = this.#outputs.get(frame.call);
        output?.end();
        this.#conclude(frame, answer);
        const packets = output?.next;
        const told = answer.type === "accepted" || packets === undefined ? answer : { ...answer, packets };
        if (this.#running.delete(frame.call)) this.#answer(frame, told);
      });
  }

  cancel(call: number): void {
    this.#running.get(call)?.controller.abort(new AppError("cancelled", "The caller cancelled"));
  }

  findOutput(call: number): CallOutput | undefined {
    return this.#outputs.get(call);
  }

  findInput(call: number): CallInput | undefined {
    return this.#running.get(call)?.input;
  }

  forgetOutput(call: number): void {
    this.#outputs.get(call)?.abandon();
    this.#outputs.delete(call);
  }

  /** Nobody waits for any of them any more. */
  abortAll(reason: AppError): void {
    for (const { controller } of this.#running.values()) controller.abort(reason);
    this.#running.clear();
    for (const call of [...this.#outputs.keys()]) this.forgetOutput(call);
  }

  async #invoke(frame: Call, running: Running): Promise<ServerMessage> {
    const { identity, jobs, catalogue, logins } = this.#options;
    const command = catalogue.find(frame.command);
    if (command === undefined || "unit" in command) return await this.#invokeCustom(frame, running);
    const role = demandCommand(identity, command);
    if (frame.terms !== undefined)
      throw new AppError(
        "invalid_input",
        `Cannot call "${command.name}": it takes no terms beside its input`,
      );
    // At once: what is sent along may come before anything else is known.
    if (command.kind === "foreground" && command.takesInput)
      running.input = new CallInput(running.controller.signal);
    if (command.kind === "foreground") await this.#takeTurn();
    const carriedOut =
      role.runAs === undefined
        ? this.#carryOut({ frame, running, command, role })
        : logins.find(role.runAs).then((login) => this.#carryOut({ frame, running, command, role, login }));
    // Who he is and where he may start something is found out first: whoever asks for the job meanwhile waits.
    const takesTime = role.runAs !== undefined || identity.grants.rootsOf(role).length > 0;
    if (command.kind === "background" && frame.job !== undefined && takesTime)
      jobs.expect(frame.job, identity, carriedOut);
    return await carriedOut;
  }

  /** One that may not be known yet: what it takes and whether it becomes a job shows later. */
  async #invokeCustom(frame: Call, running: Running): Promise<ServerMessage> {
    const { identity, jobs, catalogue } = this.#options;
    const { signal } = running.controller;
    const input = new CallInput(signal);
    running.input = input;
    const carriedOut = Promise.all([catalogue.findOwn(frame.command), this.#takeTurn()]).then(([command]) => {
      const role = demandCommand(identity, command);
      const output = this.#outputs.get(frame.call);
      demandValues(this.#options.minor(), `call "${command.name}"`);
      return this.#custom.carryOut({ frame, command, role, input, output, signal });
    });
    if (frame.job !== undefined) jobs.expect(frame.job, identity, carriedOut);
    return await carriedOut;
  }

  /** One call begins in each turn: who calls a thousand times at once keeps others waiting for one of them. */
  async #takeTurn(): Promise<void> {
    const before = this.#turns;
    this.#turns = before.then(turn);
    await before;
  }

  async #carryOut(order: Order): Promise<ServerMessage> {
    const { frame, running, command, role, login } = order;
    const { call, command: name, input, job, output, workspace = DEFAULT_WORKSPACE } = frame;
    const { identity, recorder, jobs, toContext } = this.#options;
    const { signal } = running.controller;
    signal.throwIfAborted();
    const bytes = running.input ?? NOTHING;
    const context = toContext({ identity, recorder, role, login, workspace, signal, input: bytes });
    const as = { role: role.name, ...(role.runAs && { run_as: role.runAs }) };
    const where = { ...as, ...(workspace !== DEFAULT_WORKSPACE && { workspace }) };
    if (command.kind === "foreground") {
      const parsed = parseInput(command.name, command.input, fromValue(input));
      this.#checks.spend(command.name, undefined);
      this.#checks.record(call, name, { ...where, input: describeInput(command, parsed) });
      const work = this.#begin({ command, parsed, input: fromValue(input), context, role, login, bytes });
      const result = await finish(work, this.#outputs.get(call), signal);
      // What another process did is told in its own words.
      if (login !== undefined && command.asUser && command.permission === "write")
        recorder.note("file", { ...as, action: command.name, cwd: context.workspace.cwd, result });
      return { type: "result", call, result: toJsonValue(result) };
    }
    if (job === undefined)
      throw new AppError("invalid_input", `Cannot call "${name}": the call carries no job id`);
    const parsed = parseInput(command.name, command.input, fromValue(input));
    const program = command.toProgram(parsed, context);
    const what = describeProgram(describeInput(command, parsed), program);
    this.#checks.record(call, name, { ...where, job, ...what });
    const enclosed = this.#checks.enclose(
      { role, login, signal },
      this.#checks.admit(role, program, context),
    );
    // What takes no time must not take a turn either: the job would not be known when its caller asks for it.
    const admitted = enclosed instanceof Promise ? await enclosed : enclosed;
    const { start } = await jobs.start({
      job,
      holder: output?.holder,
      command: command.name,
      identity,
      role,
      program: admitted,
      user: login?.credentials,
      onBegin: () => {
        this.#checks.spend(command.name, job);
        this.#options.onJob(job);
      },
    });
    return { type: "accepted", call, job: start.job, number: start.number };
  }

  /** Here, or in a process of the user as whom it is to be done. */
  #begin({ command, parsed, input, context, role, login, bytes }: Work): Promise<unknown> | Stream {
    const { identity, delegate } = this.#options;
    if (login !== undefined && command.asUser) {
      const { workspace, jobs, signal } = context;
      return delegate.run({ login, identity, role, command, input, workspace, jobs, bytes }, signal);
    }
    // The one place where a command's types are not known: its own schema has just checked the input.
    const run = command.run as (input: unknown, context: CommandContext) => Promise<unknown> | Stream;
    return run(parsed, context);
  }

  /** What came of a call is written before its caller knows; of a job that was accepted, the call told already. */
  #conclude({ call, command }: Call, answer: ServerMessage): void {
    const { recorder } = this.#options;
    recorder.note("answer", { call, command, ...describeAnswer(answer) });
    if (answer.type !== "accepted") recorder.write();
    this.#litter.leave(CALL_LITTER);
  }

  /** Bytes that each call may have said and its caller not consumed. */
  get #window(): number {
    const share = SESSION_EVENT_BYTES / Math.max(1, this.#outputs.size);
    return Math.min(CALL_WINDOW_BYTES, Math.max(MIN_CALL_WINDOW_BYTES, share));
  }

  /** What the client would close the connection on is refused here instead. */
  #answer(frame: Call, answer: ServerMessage): void {
    const excess = findExcessOf(answer);
    if (excess === undefined) return this.#options.onAnswer(answer);
    const what = `the answer ${excess}; ask for less`;
    const error = new AppError("too_many", `Cannot answer "${frame.command}": ${what}`);
    this.#options.onAnswer(this.#toFailure(frame, error));
  }

  #toFailure({ call, command }: Call, error: unknown): ServerMessage {
    if (!(error instanceof AppError))
      this.#options.log.error("call failed", { command, error: describeError(error) });
    return { type: "failed", call, error: toErrorBody(error) };
  }
}

/** The result of a command, once it has said all that it says on the way. */
async function finish(
  run: Promise<unknown> | Stream,
  output: CallOutput | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  if (!(Symbol.asyncIterator in run)) return await run;
  try {
    for (let since = performance.now(); ;) {
      const { done, value } = await run.next();
      if (done) return value;
      await output?.put(value, signal);
      if (performance.now() - since < MAX_BUSY) continue;
      await turn();
      signal.throwIfAborted();
      since = performance.now();
    }
  } finally {
    await run.return(undefined);
  }
}

/** The role in which somebody calls a command. Throws `forbidden`, and `unauthenticated` once his token has ended. */
function demandCommand({ grants }: Identity, command: CheckedCommand): Role {
  if (grants.expires !== undefined && Date.now() >= grants.expires)
    throw new AppError("unauthenticated", `Cannot call "${command.name}": your token has expired`);
  // Whoever may not ask for all is told of what he may call.
  if (command.name === commands.name && !grants.allows(commands))
    return grants.demandSome(`call "${command.name}"`);
  return grants.demandCommand(command);
}

const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };
