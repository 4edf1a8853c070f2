import type * as v from "valibot";
import type { Permission } from "../commands/define.ts";
import type { Caller } from "./caller.ts";

type Schema = v.GenericSchema;

/** What any function of a module is given. */
export interface ModuleContext {
  /** Aborted when the caller cancels, `kill` ends the job, or a time limit is over; its reason says which. */
  readonly signal: AbortSignal;
  readonly caller: Caller;
  /** The directory of the caller's workspace, which is the process's too, and its environment. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Writes a line to the job's stderr, or of a foreground command to the server's log. */
  log(...words: readonly unknown[]): void;
}

/** What a custom command is given. */
export interface CommandContext<Config = unknown, Shared = unknown> extends ModuleContext {
  /**
   * What the caller sends: bytes that come along with the call, or what `send-input` gives a job. To be iterated once. Whoever waits
   * for more is thrown the signal's reason when that is aborted.
   */
  readonly input: AsyncIterable<Uint8Array>;
  /** The same as lines, without their ends. */
  readonly lines: AsyncIterable<string>;
  /** Of a pack: its configuration, and what its `init` made. */
  readonly config: Config;
  readonly shared: Shared;
}

/** What says events, or bytes, on the way. */
type Stream<E extends Schema, R extends Schema> = AsyncGenerator<
  v.InferInput<E> | Uint8Array,
  v.InferInput<R>,
  void
>;
type Plain<R extends Schema> = Promise<v.InferInput<R>> | v.InferInput<R>;

/** What a command says on the way and returns; a plain value or promise where it says nothing. One with events says some. */
type Run<I extends Schema, E extends Schema, R extends Schema, C> = (
  input: v.InferOutput<I>,
  context: C,
) => Schema extends E
  ? Stream<E, R> | Plain<R>
  : [E] extends [v.NeverSchema<undefined>]
    ? Stream<E, R> | Plain<R>
    : Stream<E, R>;

/** A command of one's own. */
export interface CommandDefinition<
  I extends Schema = Schema,
  E extends Schema = Schema,
  R extends Schema = Schema,
  C = CommandContext,
> {
  /** Kebab-case, and no built-in's. */
  readonly name: string;
  /** Whether it answers its caller (default), or becomes a job. */
  readonly kind?: "foreground" | "background";
  readonly summary: string;
  /** What a caller must be allowed to (default `exec`). */
  readonly permission?: Permission;
  /** Whether repeating a call does no harm (default false). */
  readonly idempotent?: boolean;
  readonly input?: I;
  /** What it yields; without it it may yield bytes only. */
  readonly event?: E;
  readonly result?: R;
  /** Fields of the input in the order in which arguments without a name fill them. */
  readonly positional?: readonly (keyof v.InferInput<I> & string)[];
  /** Fields of the input whose values no record shows. */
  readonly confidential?: readonly (keyof v.InferInput<I> & string)[];
  /** A foreground command that takes bytes besides its input. A background one always does. */
  readonly takesInput?: boolean;
  /** Milliseconds, or as `30s` (default one minute in the foreground, none in the background). */
  readonly timeout?: number | string;
  /** The user of the machine as whom it runs, whoever calls. */
  readonly runAs?: string;
  run: Run<I, E, R, C>;
}

/** Several commands that share what `init` makes. */
export interface PackDefinition<C extends Schema = Schema, S = unknown> {
  readonly name: string;
  /** Of its table in the server's configuration, `[extensions.<name>]`. */
  readonly config?: C;
  /** Runs once in each process that does its commands: one for all in the foreground, and one for each job. */
  init?(config: v.InferOutput<C>, context: Pick<ModuleContext, "signal" | "log">): Promise<S> | S;
  dispose?(shared: S): Promise<void> | void;
  // Their other types are checked where each is defined.
  readonly commands: readonly CommandDefinition<any, any, any, CommandContext<v.InferOutput<C>, S>>[];
}

/** What a task is given. Its `caller` is who started it. */
export interface TaskContext extends ModuleContext {
  /** The name of the task, and the id of the execution, if one is under way. */
  readonly task: string;
  readonly execution: string | undefined;
  /** Answers whoever waits for this execution; once. */
  respond(value: unknown): void;
  /** Keeps this state: should the process die, the next begins with it. Resolves when it is written down. */
  save(state: unknown): Promise<void>;
}

/** A stateful task: `init` makes its state, each `exec` makes the next of it, and `exit` ends it. */
export interface TaskDefinition<S = any, A = any> {
  init?(context: TaskContext, args: unknown): Promise<S> | S;
  exec(context: TaskContext, state: S, args: A): Promise<S> | S;
  exit?(context: TaskContext, state: S, args: unknown): Promise<void> | void;
}
