import * as v from "valibot";
import { commands } from "../commands/commands.ts";
import { type Builtin, findCommand } from "../commands/index.ts";
import type { CommandDescription } from "../protocol/description.ts";
import {
  type Asked,
  type AskedOfCustom,
  parseArguments,
  parseCustomOptions,
  parseOptions,
} from "./arguments.ts";
import type { Callable } from "./call-reading.ts";
import { createLimit, openCall, openExec, openOrder } from "./calling.ts";
import { ClientError } from "./client-error.ts";
import { toCustom } from "./custom.ts";
import { invoke } from "./invoke.ts";
import type { JobListener } from "./listener.ts";
import type { CallOptions } from "./options.ts";
import { collectCall, collectJob, type JobReply } from "./reply.ts";
import { seeAnswer } from "./seen.ts";
import type { Session } from "./session.ts";

/** The input of `exec`. */
const Fields = v.record(v.string(), v.unknown());

/** Milliseconds for which a description counts: whoever has the server may change what a command is. */
const FRESH = 10_000;

/** Calls commands over a session, and answers a listener or everything, as the options say. */
export class Caller {
  readonly #session: Session;
  /** Custom commands as the server has described them, and when (ms, monotonic). */
  readonly #described = new Map<string, { readonly description: CommandDescription; readonly at: number }>();

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
    const command = findCommand(name);
    if (command === undefined) return await this.#custom(name, input, parseCustomOptions(name, how));
    const options = parseOptions(name, how);
    if (command.kind === "foreground") return await this.#ask(command, input, options);
    if (!v.is(Fields, input))
      throw new ClientError("invalid_input", `Cannot call "${name}": its input is no object`);
    return await this.exec({ input, options });
  }

  /** Runs a program. */
  async exec({ input, options }: Asked): Promise<JobListener | JobReply> {
    return await this.#run(openExec(this.#session, input, options), options);
  }

  async #custom(name: string, input: unknown, { options: asked, terms }: AskedOfCustom): Promise<unknown> {
    const options = await this.#learn(name, asked);
    const command = toCustom(name, this.#described.get(name)?.description, options);
    if (command.kind === "background") {
      const order = { command: command.name, input, terms: terms ?? {} };
      return await this.#run(openOrder(this.#session, order, options), options);
    }
    if (terms === undefined) return await this.#ask(command, input, options);
    const why = `it starts no job that could have ${Object.keys(terms).join(", ")}`;
    throw new ClientError("invalid_input", `Cannot call "${name}" so: ${why}`);
  }

  async #run(opening: Promise<JobListener>, { complete }: CallOptions): Promise<JobListener | JobReply> {
    const listener = await opening;
    return complete === false ? listener : await collectJob(listener);
  }

  /** Has the server describe a custom command, unless it just has; answers the options with the time that is left of them. */
  async #learn(name: string, options: CallOptions): Promise<CallOptions> {
    const begun = performance.now();
    if (begun - (this.#described.get(name)?.at ?? Number.NEGATIVE_INFINITY) < FRESH) return options;
    using limit = createLimit(options, `"${name}"`);
    const asked = invoke(this.#session, commands, { names: [name] }, limit.signal);
    const [description] = await asked.catch(() => []); // the call itself will be refused
    limit.signal.throwIfAborted();
    if (description === undefined) this.#described.delete(name);
    else this.#described.set(name, { description, at: performance.now() });
    const { timeout } = options;
    return { ...options, timeout: timeout && Math.max(0, timeout - (performance.now() - begun)) };
  }

  #invoke(command: Builtin, { input, options }: Asked): Promise<unknown> {
    return command.kind === "foreground" ? this.#ask(command, input, options) : this.exec({ input, options });
  }

  async #ask(command: Callable<unknown, unknown>, input: unknown, options: CallOptions): Promise<unknown> {
    const listener = this.#open(command, input, options);
    return options.complete === false ? listener : await collectCall(listener);
  }

  #open(command: Callable<unknown, unknown>, input: unknown, options: CallOptions) {
    const complete = (session: Session, answer: unknown, signal: AbortSignal) =>
      seeAnswer(command.name, answer, session, signal);
    return openCall(this.#session, { ...command, complete }, input, options);
  }
}
