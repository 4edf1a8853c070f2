import type { TaskContext } from "../../module/define.ts";
import { encodeCbor } from "../../protocol/cbor/encode.ts";
import { AppError } from "../../protocol/error.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import type { ToldType } from "../../protocol/told.ts";

/** What does not change from one execution to the next. */
export type Setting = Pick<TaskContext, "caller" | "cwd" | "env" | "log" | "task">;

/** Tells something of an execution. Resolves when it is written. */
export type Tell = (type: ToldType, id: ExecutionId | undefined, payload?: Uint8Array) => Promise<void>;

/** What is called, and under which id it may answer, if it may. */
export interface Calling {
  readonly type: "init" | "exec" | "exit";
  readonly id: ExecutionId | undefined;
}

/** What `init`, one execution or `exit` is given, for as long as that lasts. */
export class TaskTurn implements TaskContext, Disposable {
  readonly task: string;
  readonly caller: TaskContext["caller"];
  readonly cwd: string;
  readonly env: TaskContext["env"];
  readonly log: TaskContext["log"];
  readonly execution: string | undefined;
  readonly #id: ExecutionId | undefined;
  readonly #controller = new AbortController();
  readonly #tell: Tell;
  #responded = false;
  #isOver = false;

  constructor({ task, caller, cwd, env, log }: Setting, { type, id }: Calling, tell: Tell) {
    this.task = task;
    this.caller = caller;
    this.cwd = cwd;
    this.env = env;
    this.log = log;
    this.execution = type === "exec" ? id : undefined;
    this.#id = id;
    this.#tell = tell;
    // They may be taken off it, as in `const { respond } = context`.
    this.respond = this.respond.bind(this);
    this.save = this.save.bind(this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get responded(): boolean {
    return this.#responded;
  }

  abort(reason: AppError): void {
    this.#controller.abort(reason);
  }

  respond(value: unknown): void {
    if (this.#id === undefined) throw refuse("nobody waits for init's answer");
    if (this.#isOver) throw refuse("what it would answer is over");
    if (this.#responded) throw refuse("it was answered already");
    const payload = encodeCbor(value);
    this.#responded = true;
    this.#tell("responded", this.#id, payload).catch(() => {}); // the end is told, or nobody is there
  }

  async save(state: unknown): Promise<void> {
    await this.#tell("saved", this.#id, encodeCbor(state));
  }

  /** It is over. */
  [Symbol.dispose](): void {
    this.#isOver = true;
  }
}

function refuse(why: string): AppError {
  return new AppError("invalid_input", `Cannot respond: ${why}`);
}
