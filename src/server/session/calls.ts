import * as v from "valibot";
import type { CommandContext } from "../../commands/context.ts";
import { findCommand } from "../../commands/index.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { type ClientFrame, isSendable, type ServerMessage } from "../../protocol/control.ts";
import { AppError, toErrorBody } from "../../protocol/error.ts";
import { MAX_CALLS, MAX_CONTROL_FRAME_BYTES } from "../../protocol/limits.ts";
import { toValue } from "../../protocol/value.ts";
import { DEFAULT_WORKSPACE } from "../../protocol/workspace.ts";
import type { ToContext } from "../context.ts";
import type { Jobs } from "../jobs/jobs.ts";

export interface CallsOptions {
  readonly owner: string;
  readonly jobs: Jobs;
  readonly log: Log;
  readonly toContext: ToContext;
  readonly onAnswer: (answer: ServerMessage) => void;
}

export type Call = Extract<ClientFrame, { type: "call" }>;

/** The calls of one session that are not answered yet. Each is answered exactly once, unless all are aborted. */
export class Calls {
  readonly #options: CallsOptions;
  readonly #running = new Map<number, AbortController>();
  #last = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Runs by itself until it is answered. Throws `protocol_error` for an id that was used, `too_many`. */
  start(frame: Call): void {
    if (frame.call <= this.#last)
      throw new AppError("protocol_error", `Cannot accept call ${frame.call}: its id was used`);
    if (this.#running.size >= MAX_CALLS)
      throw new AppError("too_many", `Cannot accept more than ${MAX_CALLS} calls at once`);
    this.#last = frame.call;
    const call = new AbortController();
    this.#running.set(frame.call, call);
    this.#invoke(frame, call.signal)
      .catch((error: unknown): ServerMessage => this.#toFailure(frame, error))
      .then((answer) => {
        if (this.#running.delete(frame.call)) this.#answer(frame, answer);
      });
  }

  cancel(call: number): void {
    this.#running.get(call)?.abort(new AppError("cancelled", "The caller cancelled"));
  }

  /** Nobody waits for any of them any more. */
  abortAll(reason: AppError): void {
    for (const call of this.#running.values()) call.abort(reason);
    this.#running.clear();
  }

  async #invoke(
    { call, command: name, input, job, output, workspace = DEFAULT_WORKSPACE }: Call,
    signal: AbortSignal,
  ) {
    const { owner, jobs, toContext } = this.#options;
    const context = toContext({ owner, workspace, signal, input: NOTHING });
    const command = findCommand(name);
    if (command === undefined)
      throw new AppError("unknown_command", `Cannot call "${name}": this server has no such command`);
    if (command.kind === "foreground") {
      const parsed = parseInput(command.name, command.input, input.value);
      // The one place where a command's types are not known: its own schema has just checked the input.
      const run = command.run as (input: unknown, context: CommandContext) => Promise<unknown>;
      return { type: "result", call, result: toValue(await run(parsed, context)) } as const;
    }
    if (job === undefined)
      throw new AppError("invalid_input", `Cannot call "${name}": the call carries no job id`);
    const program = command.toProgram(parseInput(command.name, command.input, input.value), context);
    const { start } = await jobs.start({
      job,
      holder: output?.holder,
      command: command.name,
      owner,
      program,
    });
    return { type: "accepted", call, job: start.job, number: start.number } as const;
  }

  /** What the client would close the connection on is refused here instead. */
  #answer(frame: Call, answer: ServerMessage): void {
    if (isSendable(answer)) return this.#options.onAnswer(answer);
    const what = `the answer takes more than ${MAX_CONTROL_FRAME_BYTES} bytes; ask for less`;
    const error = new AppError("too_many", `Cannot answer "${frame.command}": ${what}`);
    this.#options.onAnswer(this.#toFailure(frame, error));
  }

  #toFailure({ call, command }: Call, error: unknown): ServerMessage {
    if (!(error instanceof AppError))
      this.#options.log.error("call failed", { command, error: describeError(error) });
    return { type: "failed", call, error: toErrorBody(error) };
  }
}

const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

function parseInput<S extends v.GenericSchema>(command: string, schema: S, value: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const path = v.getDotPath(issue);
  // Our own schemas say what is wrong as the rest of a sentence; valibot says it in one of its own.
  const why = `${/^[a-z]/.test(issue.message) ? "" : "is not valid: "}${issue.message.slice(0, 200)}`;
  const where = path ? ` at "${path.slice(0, 200)}"` : "";
  throw new AppError("invalid_input", `Cannot call "${command}": the input${where} ${why}`);
}
