import * as v from "valibot";
import { commands } from "../commands/commands.ts";
import { type Builtin, findCommand } from "../commands/index.ts";
import { result } from "../commands/result.ts";
import type { CommandDescription } from "../protocol/description.ts";
import { type Asked, parseArguments, parseOptions } from "./arguments.ts";
import type { Callable } from "./call-reading.ts";
import { createLimit, openCall, openJob } from "./calling.ts";
import { ClientError } from "./client-error.ts";
import { toCustom } from "./custom.ts";
import { invoke } from "./invoke.ts";
import type { JobListener } from "./listener.ts";
import type { CallOptions } from "./options.ts";
import { collectCall, collectJob, type JobReply } from "./reply.ts";
import { readResult } from "./returned.ts";
import type { Session } from "./session.ts";

/** The input of any command that becomes a job. */
const Fields = v.record(v.string(), v.unknown());

/** Calls commands over a session, and answers a listener or everything, as the options say. */
export class Caller {
  readonly #session: Session;
  /** Custom commands as the server has described them. */
  readonly #described = new Map<string, CommandDescription>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Calls a built-in command with the arguments of its method. */
  async method(name: string, args: readonly unknown[]): Promise<unknown> {
    const command = findCommand(name);
    if (command === undefined) return await this.any(name, args);
    return await this.#invoke(command, parseArguments(command, args));
  }

  /** Calls any command with an input and options. */
  async any(name: string, [input = {}, how = {}]: readonly unknown[]): Promise<unknown> {
    const asked = parseOptions(name, how);
    const known = findCommand(name);
    const options = known === undefined ? await this.#learn(name, asked) : asked;
    const command = known ?? toCustom(name, this.#described.get(name), options);
    if (command.kind === "foreground") return await this.#ask(command, input, options);
    if (!v.is(Fields, input))
      throw new ClientError("invalid_input", `Cannot call "${name}": its input is no object`);
    return await this.run(command.name, { input, options });
  }

  /** Calls a command that becomes a job. */
  async run(command: string, { input, options }: Asked): Promise<JobListener | JobReply> {
    const listener = await openJob(this.#session, command, input, options);
    return options.complete === false ? listener : await collectJob(listener);
  }

  /** Has the server describe a custom command, once; answers the options with the time that is left of them. */
  async #learn(name: string, options: CallOptions): Promise<CallOptions> {
    if (this.#described.has(name)) return options;
    const begun = performance.now();
    using limit = createLimit(options, `"${name}"`);
    const asked = invoke(this.#session, commands, { names: [name] }, limit.signal);
    const [description] = await asked.catch(() => []); // the call itself will be refused
    limit.signal.throwIfAborted();
    if (description !== undefined) this.#described.set(name, description);
    const { timeout } = options;
    return { ...options, timeout: timeout && Math.max(0, timeout - (performance.now() - begun)) };
  }

  #invoke(command: Builtin, { input, options }: Asked): Promise<unknown> {
    return command.kind === "foreground"
      ? this.#ask(command, input, options)
      : this.run(command.name, { input, options });
  }

  async #ask(command: Callable<unknown, unknown>, input: unknown, options: CallOptions): Promise<unknown> {
    const listener = this.#open(command, input, options);
    return options.complete === false ? listener : await collectCall(listener);
  }

  /** What a job returned may have to be read besides. */
  #open(command: Callable<unknown, unknown>, input: unknown, options: CallOptions) {
    if (command.name !== result.name) return openCall(this.#session, command, input, options);
    const complete = async (session: Session, answer: unknown, signal: AbortSignal) =>
      await readResult(session, v.parse(result.result, answer), signal);
    return openCall(this.#session, { ...command, complete }, input, options);
  }
}
