import type { CommandContext } from "../../commands/context.ts";
import type { Program } from "../../commands/define.ts";
import type { Caller } from "../../module/caller.ts";
import { Budget } from "../../lib/budget.ts";
import { Pace } from "../../lib/pace.ts";
import type { Again } from "../../process/again.ts";
import type { ServerMessage } from "../../protocol/control.ts";
import { decodeValue, isCbor } from "../../protocol/cbor/payload.ts";
import { isPlain } from "../../protocol/cbor/plain.ts";
import { AppError } from "../../protocol/error.ts";
import type { JobId } from "../../protocol/id.ts";
import { CallTerms } from "../../protocol/terms.ts";
import { fromValue, toJsonValue, type Value } from "../../protocol/value.ts";
import { DEFAULT_WORKSPACE } from "../../protocol/workspace.ts";
import { describeInput, describeRich } from "../audit/call-record.ts";
import type { Recorder } from "../audit/audit.ts";
import type { Identity } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import type { ToContext } from "../context.ts";
import type { CustomCommand } from "../extensions/custom.ts";
import type { Inline } from "../extensions/inline.ts";
import { toJobProgram, toRun } from "../extensions/job-program.ts";
import { findFault, withDefaults } from "../extensions/schema.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Login } from "../logins/login.ts";
import type { Logins } from "../logins/logins.ts";
import type { Delegate } from "../runners/delegate.ts";
import type { ModuleCall } from "../runners/module-call.ts";
import type { Runners } from "../runners/runners.ts";
import type { CallInput } from "./call-input.ts";
import type { CallOutput } from "./call-output.ts";
import type { Call } from "./calls.ts";
import type { Checks } from "./checks.ts";
import { parseInput } from "./parse-input.ts";

export interface CustomCallsOptions {
  readonly identity: Identity;
  readonly recorder: Recorder;
  readonly jobs: Jobs;
  readonly toContext: ToContext;
  /** Knows as whom a role has things done. */
  readonly logins: Pick<Logins, "find">;
  readonly runners: Pick<Runners, "runModule">;
  readonly inline: Pick<Inline, "runModule">;
  readonly delegate: Pick<Delegate, "toFooting">;
  /** Runs this executable as the runner of a job. */
  readonly jobRunner: Again;
  /** Bytes of modules on their way to keepers, of all sessions together. */
  readonly orders: Budget;
  /** A job is begun: its call, which was taken down, tells already who reads and writes it. */
  readonly onJob: (job: JobId) => void;
}

/** Bytes of modules on their way to keepers: of one session, so that it keeps no other waiting, and of all. Of a larger one there is one. */
const SESSION_ORDER_BYTES = 1024 * 1024;
export const ORDER_BYTES: number = 8 * 1024 * 1024;

/** A call of a command of the operator's own. */
export interface CustomCall {
  readonly frame: Call;
  readonly command: CustomCommand;
  /** In which it is called. */
  readonly role: Role;
  readonly input: CallInput;
  /** What takes what it says on the way, if its caller wants that. */
  readonly output: CallOutput | undefined;
  readonly signal: AbortSignal;
}

/** The same with what was found out about it. */
interface Order extends CustomCall {
  /** As whom it is done, if not as the server. */
  readonly login: Login | undefined;
  readonly context: CommandContext;
  /** Of the right shape, as far as its schema tells, and with its defaults. */
  readonly value: unknown;
  /** What an audit log says of how it is done. */
  readonly where: object;
}

/** Does calls of commands of the operator's own. */
export class CustomCalls {
  readonly #options: CustomCallsOptions;
  readonly #checks: Checks;
  readonly #orders = new Budget(SESSION_ORDER_BYTES);

  constructor(options: CustomCallsOptions, checks: Checks) {
    this.#options = options;
    this.#checks = checks;
  }

  /** The answer. Throws why there is none. */
  async carryOut(call: CustomCall): Promise<ServerMessage> {
    const { identity, recorder, logins, toContext } = this.#options;
    const { frame, command, signal, input } = call;
    const { workspace = DEFAULT_WORKSPACE } = frame;
    // Whoever it says it runs as, it runs as, whatever its caller's role says.
    const role = command.runAs === undefined ? call.role : { ...call.role, runAs: command.runAs };
    const login = role.runAs === undefined ? undefined : await logins.find(role.runAs);
    signal.throwIfAborted();
    const context = toContext({ identity, recorder, role, login, workspace, signal, input });
    const where = {
      role: role.name,
      ...(role.runAs && { run_as: role.runAs }),
      ...(workspace !== DEFAULT_WORKSPACE && { workspace }),
    };
    const value = readInput(command, fromValue(frame.input));
    const order = { ...call, role, login, context, value, where };
    return await (command.kind === "foreground" ? this.#answer(order) : this.#start(order));
  }

  async #answer(order: Order): Promise<ServerMessage> {
    const { frame, command, value, where, signal, output } = order;
    const { name } = command;
    if (frame.terms !== undefined)
      throw new AppError("invalid_input", `Cannot call "${name}": it becomes no job, and takes no terms`);
    this.#options.identity.grants.demandOwn(`call "${name}"`);
    const call = await this.#toModuleCall(order);
    this.#checks.spend(name, undefined);
    this.#checks.record(frame.call, name, { ...where, input: describeRich(command, value) });
    const { runners, inline } = this.#options;
    // Whoever is somebody else on this machine is not served by the server's own process.
    const said = (command.isInline && order.login === undefined ? inline : runners).runModule(call, signal);
    try {
      let first = output?.next ?? 0;
      for (const pace = new Pace(signal); ;) {
        if (pace.isDue) await pace.rest();
        const { done, value: came } = await said.next();
        if (!done) {
          for (const { type, payload } of came) {
            await output?.append(type === "bytes" ? "stdout" : type, payload, signal);
            if (type !== "part") first = output?.next ?? 0;
          }
          continue;
        }
        if (came === undefined && output === undefined) throw tooLarge(name);
        const result = came === undefined ? ({ encoding: "parts", first } as const) : toWire(name, came);
        return { type: "result", call: frame.call, result };
      }
    } finally {
      await said.return(undefined); // it may be called no more: its process ends
    }
  }

  async #toModuleCall(order: Order): Promise<ModuleCall> {
    const { command, value, login, input, context } = order;
    const { name, unit, timeoutMs = Number.POSITIVE_INFINITY, description } = command;
    const { cwd } = await this.#enclose(order, { argv: [name], cwd: context.workspace.resolve(".") });
    return {
      unit,
      command: name,
      input: value,
      caller: this.#toCaller(order),
      workspace: { cwd, environment: this.#findGround(order) ?? context.workspace.environment },
      login,
      owner: this.#options.identity.owner,
      timeoutMs,
      isHeard: order.output !== undefined,
      bytes: description.takesInput ? input : undefined,
    };
  }

  async #start(order: Order): Promise<ServerMessage> {
    const { frame, command, value, where, role, login, context, signal } = order;
    const { identity, jobs, jobRunner, orders, onJob } = this.#options;
    const { job, output, call } = frame;
    const { name } = command;
    if (job === undefined)
      throw new AppError("invalid_input", `Cannot call "${name}": the call carries no job id`);
    const { workspace } = context;
    const place = { cwd: workspace.resolve("."), env: workspace.environment };
    const terms = readTerms(name, frame.terms);
    const bytes = command.unit.type === "module" ? command.unit.source.length : 0;
    using _own = await this.#orders.take(bytes, signal);
    using _shared = await orders.take(bytes, signal);
    const asked = { command, input: value, caller: this.#toCaller(order), terms, ...place };
    const program = toJobProgram(asked, jobRunner);
    const { recorded: argv, cwd } = program;
    this.#checks.record(call, name, {
      ...where,
      job,
      argv,
      cwd,
      input: { ...describeRich(command, value), ...describeInput({}, frame.terms) },
    });
    const enclosed = await this.#enclose(order, this.#checks.admit(role, program, context));
    const { start } = await jobs.start({
      job,
      holder: output?.holder,
      command: name,
      identity,
      role,
      program: toRun(enclosed, command, this.#findGround(order)),
      user: login?.credentials,
      onBegin: () => {
        this.#checks.spend(name, job);
        onJob(job);
      },
    });
    return { type: "accepted", call, job: start.job, number: start.number };
  }

  /** Where its caller may work; whoever may in no directory at all has it done in none of his. Throws `forbidden`. */
  async #enclose<P extends Pick<Program, "argv" | "cwd">>(order: Order, program: P): Promise<P> {
    const isNowhere = this.#options.identity.grants.rootsOf(order.role).some((roots) => roots.length === 0);
    return isNowhere ? { ...program, cwd: "/" } : await this.#checks.enclose(order, program);
  }

  /** What a command is given that is done as a user whom its caller need not be: nothing that he has set. */
  #findGround({ command, login, role, signal }: Order): Readonly<Record<string, string>> | undefined {
    if (command.runAs === undefined || login === undefined) return undefined;
    const { identity, delegate } = this.#options;
    return delegate.toFooting(login, { identity, role }, signal).ground.environment;
  }

  #toCaller({ role }: Order): Caller {
    const { owner, source } = this.#options.identity;
    return { user: owner, role: role.name, source };
  }
}

/** The input with what the schema fills in. Throws `invalid_input` for what that tells to be wrong; the rest its own code finds. */
function readInput({ name, description: { input: schema }, unit }: CustomCommand, input: unknown): unknown {
  const fault = findFault(schema, input);
  if (fault === undefined) return unit.type === "program" ? withDefaults(schema, input) : input;
  const where = fault.path && ` at "${fault.path.slice(0, 200)}"`;
  throw new AppError("invalid_input", `Cannot call "${name}": the input${where} ${fault.why}`);
}

function readTerms(command: string, terms: unknown = {}): CallTerms {
  return parseInput(command, CallTerms, terms);
}

/** What a runner has written, as it is answered. Throws `crashed` for what its caller's end of the session would break on. */
function toWire(command: string, bytes: Uint8Array): Value {
  if (isCbor(bytes)) return { encoding: "cbor", value: Buffer.from(bytes).toString("base64url") };
  const value = decodeValue(bytes);
  if (isPlain(value)) return toJsonValue(value);
  const why = "the process that did it answered what is nested too deep, or made of too many objects";
  throw new AppError("crashed", `Cannot finish "${command}": ${why}`);
}

function tooLarge(command: string): AppError {
  const why = "the result takes more than 64 KiB, for which the call has to open a channel of what it says";
  return new AppError("too_many", `Cannot answer "${command}": ${why}`);
}
