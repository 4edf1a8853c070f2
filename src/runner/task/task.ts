import { after } from "../../lib/abort.ts";
import type { TaskDefinition } from "../../module/define.ts";
import { encodeCbor } from "../../protocol/cbor/encode.ts";
import { decodeValue } from "../../protocol/cbor/payload.ts";
import { AppError } from "../../protocol/error.ts";
import { DEFAULT_GRACE } from "../../protocol/limits.ts";
import type { ExecutionId } from "../../protocol/task.ts";
import { encodeTold, type ToldType } from "../../protocol/told.ts";
import type { JobOrder } from "../order.ts";
import { describeThrown, toThrown } from "../thrown.ts";
import { type Errand, Inbox } from "./inbox.ts";
import { State } from "./state.ts";
import { type Calling, type Setting, TaskTurn } from "./turn.ts";

export interface TaskOptions extends Omit<Setting, "task" | "caller"> {
  readonly order: Extract<JobOrder, { readonly type: "task" }>;
  /** What its `init` is given, or the state that it begins with. */
  readonly payload: Uint8Array;
  readonly load: () => Promise<TaskDefinition>;
  /** The next bytes behind the order, or undefined when there are no more. */
  readonly read: () => Promise<Uint8Array | undefined>;
  /** Says a value, however long. Resolves when it is written. */
  readonly say: (value: Uint8Array) => Promise<void>;
}

/**
 * Runs a task until it is told to end, the signal is aborted, or nobody is there any more to tell it something. Resolves when
 * its `exit` has returned. Throws what its module, its `init` or its `exit` throws, which it has told by then.
 */
export async function runTask(options: TaskOptions, signal: AbortSignal): Promise<void> {
  const task = new Task(options);
  const end = () => task.end();
  if (signal.aborted) end(); // it may have been told while it read its order
  signal.addEventListener("abort", end);
  try {
    await Promise.race([task.run(), task.abandoned]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

class Task {
  readonly #options: TaskOptions;
  readonly #setting: Setting;
  readonly #inbox: Inbox;
  readonly #abandoned = Promise.withResolvers<void>();
  #turn: TaskTurn | undefined;
  #isEnding = false;

  constructor(options: TaskOptions) {
    const { order, cwd, env, log, read } = options;
    this.#options = options;
    this.#setting = { task: order.task, caller: order.caller, cwd, env, log };
    this.#inbox = new Inbox({
      read,
      onMark: (id) => this.#answerMark(id),
      onEnd: () => this.end(),
    });
  }

  /** Resolves when nobody has been there for so long that it need not end properly any more; rejects when nobody listens. */
  get abandoned(): Promise<void> {
    return this.#abandoned.promise;
  }

  /** What is under way is told to stop, and nothing else begins. */
  end(): void {
    this.#isEnding = true;
    this.#inbox.close();
    this.#turn?.abort(toEnding());
  }

  async run(): Promise<void> {
    this.#startListening();
    const { task, state } = await this.#begin();
    for (;;) {
      const errand = await this.#inbox.next();
      if (errand?.type !== "run") return await this.#exit(task, state, errand);
      await this.#execute(task, state, errand);
    }
  }

  #startListening(): void {
    this.#inbox
      .fill()
      .catch((error: unknown) => this.#options.log(describeThrown(error)))
      .finally(() => after(DEFAULT_GRACE, () => this.#abandoned.resolve()));
  }

  #answerMark(id: ExecutionId): void {
    const running = this.#inbox.unfinished ?? null;
    const told = this.#tell("marked", id, encodeCbor({ running, ending: this.#isEnding }));
    told.catch((error: unknown) => this.#abandoned.reject(error)); // nobody hears anything any more
  }

  async #begin(): Promise<{ readonly task: TaskDefinition; readonly state: State }> {
    const { order, payload, load } = this.#options;
    const { isRestored: restored } = order;
    try {
      const task = await load();
      const given = decodeValue(payload);
      const state = restored ? given : await this.#init(task, given);
      await this.#tell("ready", undefined, encodeCbor({ restored }));
      return { task, state: new State(state) };
    } catch (error) {
      await this.#tellThrown("failed", undefined, error);
      throw error;
    }
  }

  #init(task: TaskDefinition, args: unknown): Promise<unknown> {
    if (this.#isEnding) throw toEnding();
    return this.#take({ type: "init", id: undefined }, (turn) => task.init?.(turn, args));
  }

  async #execute(task: TaskDefinition, state: State, { id, args }: Errand): Promise<void> {
    const told = this.#tell("began", id);
    told.catch(() => {}); // the end is told, or nobody is there
    state.begin();
    try {
      const responded = await this.#take({ type: "exec", id }, async (turn) => {
        const next = await task.exec(turn, state.value, decodeValue(args));
        if (this.#options.order.savesAlways) await turn.save(next);
        state.replace(next);
        return turn.responded;
      });
      this.#inbox.finish(id);
      await this.#tell("finished", id, encodeCbor({ responded }));
    } catch (error) {
      this.#inbox.finish(id);
      state.restore();
      await this.#tellThrown("threw", id, error);
    }
  }

  async #exit(task: TaskDefinition, state: State, errand: Errand | undefined): Promise<void> {
    // Without a caller what it answers is for the record.
    const id = errand?.id ?? (crypto.randomUUID() as ExecutionId);
    try {
      const args = errand && decodeValue(errand.args);
      await this.#take({ type: "exit", id }, (turn) => task.exit?.(turn, state.value, args));
      await this.#tell("exited", undefined);
    } catch (error) {
      await this.#tellThrown("broken", undefined, error);
      throw error;
    }
  }

  /** One of the task's functions is called. */
  async #take<T>(calling: Calling, call: (turn: TaskTurn) => T): Promise<Awaited<T>> {
    using turn = new TaskTurn(this.#setting, calling, (type, id, payload) => this.#tell(type, id, payload));
    this.#turn = turn;
    try {
      return await call(turn);
    } finally {
      this.#turn = undefined;
    }
  }

  async #tellThrown(type: ToldType, id: ExecutionId | undefined, error: unknown): Promise<void> {
    this.#options.log(describeThrown(error));
    await this.#tell(type, id, encodeCbor(toThrown(error)));
  }

  #tell(type: ToldType, id: ExecutionId | undefined, payload?: Uint8Array): Promise<void> {
    return this.#options.say(encodeTold(type, id, payload));
  }
}

function toEnding(): AppError {
  return new AppError("cancelled", "The task is to end");
}
