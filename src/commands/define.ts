import type * as v from "valibot";
import type { Terms } from "../protocol/terms.ts";
import type { CommandContext } from "./context.ts";

/**
 * What a caller must be allowed to: look at jobs and the machine and read files, change files and workspaces, run programs,
 * stop the server, or restart and suspend the machine.
 */
export type Permission = "read" | "write" | "exec" | "control" | "power";

/** The systems that Farhand runs on, as Bun names them. */
export type System = "linux" | "darwin" | "win32";

/** What a machine may be able to, whatever its system. */
export type Ability = "suspend";

/** What a job is asked to run. */
export interface Program {
  readonly argv: readonly string[];
  /** What records show instead, of what is no program of its caller's. */
  readonly recorded?: readonly string[];
  /** What is run, where its argv[0] does not name it. */
  readonly file?: string;
  readonly cwd: string;
  /** Nothing that a link leads to is meant by it: it was judged, and is not to be another by the time it is entered. */
  readonly exact?: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** Values in it that no record shows, wherever they stand in the argv. */
  readonly secrets?: readonly string[];
  readonly stdin: boolean;
  readonly merge: boolean;
  /** Bytes of output to keep; undefined for all. */
  readonly keepBytes: number | undefined;
  /** It is one of our own runners: this is the first that its stdin gives it, and it says values and an outcome. */
  readonly order?: Uint8Array;
  readonly terms: Terms;
}

/** One option or argument on the command line. */
export interface CliArg {
  readonly type: "string" | "boolean" | "positional";
  readonly description: string;
  readonly alias?: string;
  readonly valueHint?: string;
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly required?: boolean;
  /** The values that it may have, where they are few. */
  readonly choices?: readonly string[];
}

/** Arguments as they were typed: flags, values, and positionals by name; `rest` holds what no name takes. */
export interface CliValues {
  readonly flag: (name: string) => boolean;
  /** True for `--name`, false for `--no-name`, undefined for neither. */
  readonly choice: (name: string) => boolean | undefined;
  readonly text: (name: string) => string | undefined;
  readonly list: (name: string) => readonly string[];
  readonly rest: readonly string[];
}

/** Where the command line finds the bytes that a command takes: our own stdin, or a file here. */
export type ByteSource = { readonly type: "stdin" } | { readonly type: "file"; readonly path: string };

interface Face<Input> {
  readonly args: Readonly<Record<string, CliArg>>;
  /** What the rest of the command line is called in help, if there may be any. */
  readonly rest?: string;
  /** The rest begins at the first word that is no option, and is not searched for options. */
  readonly takesRest?: boolean;
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Throws a `RangeError` or `AppError` on values that cannot be read. */
  readonly toInput: (values: CliValues) => Input;
  /** Of one that takes bytes: where they are, unless there are none. */
  readonly toSource?: (values: CliValues) => ByteSource | undefined;
}

interface Common<S extends v.GenericSchema, P extends readonly string[]> {
  readonly name: string;
  readonly summary: string;
  readonly permission: Permission;
  /** Whether repeating a call does no harm. */
  readonly idempotent: boolean;
  readonly input: S;
  /** Fields of the input in the order in which arguments without a name fill them; the last takes all that is left if it is a list. */
  readonly positional?: P;
  /** Fields of the input that may hold secrets: no record of a call tells their values, though it tells the names of a set of them. */
  readonly confidential?: readonly (keyof v.InferInput<S> & string)[];
  /** Where it is offered, if not everywhere. */
  readonly systems?: readonly System[];
  /** What the machine must be able to, where the system alone does not tell. */
  readonly ability?: Ability;
  /**
   * It touches files or the machine, and so is done as the user of its caller's role, where that has one: in a process of his,
   * which knows the workspace's directory and environment and nothing else of the server.
   */
  readonly asUser?: true;
  /** Such a process is told which jobs run, and which job the input's `job` is. */
  readonly asksJobs?: true;
}

/** A command that lives in its session and answers with a result. */
export interface ForegroundCommand<
  S extends v.GenericSchema,
  R extends v.GenericSchema,
  P extends readonly string[] = readonly string[],
  T extends boolean = boolean,
> extends Common<S, P> {
  readonly kind: "foreground";
  readonly event?: undefined;
  /** It takes bytes besides its input. */
  readonly takesInput?: T;
  readonly result: R;
  run(input: v.InferOutput<S>, context: CommandContext): Promise<v.InferInput<R>>;
  readonly cli: Face<v.InferInput<S>> & {
    /** Readable text of a result. */
    readonly show: (result: v.InferOutput<R>) => string;
    /** What the command line exits with (default 0). */
    readonly toExitCode?: (result: v.InferOutput<R>) => number;
  };
}

/**
 * A foreground command that says something on the way: events, and bytes, at the pace at which they are read. An event takes
 * at most 64 KiB as JSON.
 */
export interface StreamCommand<
  S extends v.GenericSchema,
  E extends v.GenericSchema,
  R extends v.GenericSchema,
  P extends readonly string[] = readonly string[],
  T extends boolean = boolean,
> extends Common<S, P> {
  readonly kind: "foreground";
  readonly event: E;
  readonly takesInput?: T;
  readonly result: R;
  run(
    input: v.InferOutput<S>,
    context: CommandContext,
  ): AsyncGenerator<v.InferInput<E> | Uint8Array, v.InferInput<R>, void>;
  readonly cli: Face<v.InferInput<S>> & {
    /** What stands above the first event. */
    readonly heading?: string;
    /** One event as text; several lines are fine. */
    readonly show: (event: v.InferOutput<E>) => string;
    /** What is said of the result, on stderr, if anything. */
    readonly conclude?: (result: v.InferOutput<R>) => string | undefined;
    readonly toExitCode?: (result: v.InferOutput<R>) => number;
  };
}

/** A command that becomes a job. */
export interface BackgroundCommand<
  S extends v.GenericSchema,
  P extends readonly string[] = readonly string[],
> extends Common<S, P> {
  readonly kind: "background";
  readonly event?: undefined;
  toProgram(input: v.InferOutput<S>, context: CommandContext): Program;
  readonly cli: Face<v.InferInput<S>>;
}

type Fields<S extends v.GenericSchema> = readonly (keyof v.InferInput<S> & string)[];

/** Adds only types. */
export function defineForeground<
  S extends v.GenericSchema,
  R extends v.GenericSchema,
  const P extends Fields<S> = readonly [],
  const T extends boolean = false,
>(command: Omit<ForegroundCommand<S, R, P, T>, "kind">): ForegroundCommand<S, R, P, T> {
  return { ...command, kind: "foreground" };
}

/** Adds only types. */
export function defineStream<
  S extends v.GenericSchema,
  E extends v.GenericSchema,
  R extends v.GenericSchema,
  const P extends Fields<S> = readonly [],
  const T extends boolean = false,
>(command: Omit<StreamCommand<S, E, R, P, T>, "kind">): StreamCommand<S, E, R, P, T> {
  return { ...command, kind: "foreground" };
}

/** Adds only types. */
export function defineBackground<S extends v.GenericSchema, const P extends Fields<S> = readonly []>(
  command: Omit<BackgroundCommand<S, P>, "kind">,
): BackgroundCommand<S, P> {
  return { ...command, kind: "background" };
}
