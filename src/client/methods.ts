import type * as v from "valibot";
import type { Builtins } from "../commands/index.ts";
import type { CallFlags, InputFlags, JobTerms } from "./options.ts";
import type { CallListener, JobListener } from "./listener.ts";
import type { CallReply, CallSuccess, JobReply, JobSuccess, Said } from "./reply.ts";
import type { Seen } from "./seen.ts";

/**
 * A method for each command that the server has, by its name in camelCase. Leading arguments fill the fields that the
 * definition calls `positional`; the last one is an object with the others and the call's options.
 */
export type CommandMethods = {
  readonly [N in keyof Builtins as CamelCase<N>]: Method<Builtins[N]>;
};

export type CommandName = keyof Builtins;

export type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** What a job's call answers. */
export type JobAnswer<C extends boolean, T extends boolean> = C extends false
  ? JobListener
  : T extends true
    ? JobSuccess
    : JobReply;

/** What a foreground call answers; `X`: what its reply has besides. */
export type CallAnswer<Event, Result, C extends boolean, T extends boolean, X = unknown> = C extends false
  ? CallListener<Event, Result>
  : T extends true
    ? CallSuccess<Event, Result> & X
    : CallReply<Event, Result> & X;

type Method<D extends Definition> = <C extends boolean = true, T extends boolean = false>(
  ...args: Arguments<InputOf<D>, PositionalOf<D>, FlagsOf<D, C, T>>
) => Promise<AnswerOf<D, C, T>>;

interface Definition {
  readonly kind: "foreground" | "background";
  readonly input: v.GenericSchema;
  readonly event?: v.GenericSchema | undefined;
  readonly result?: v.GenericSchema;
  readonly takesInput?: boolean;
  readonly positional?: readonly string[];
}

export type InputOf<D extends Definition> = v.InferInput<D["input"]>;

type PositionalOf<D extends Definition> = NonNullable<D["positional"]>;

export type FlagsOf<D extends Definition, C extends boolean, T extends boolean> = D extends {
  readonly takesInput?: true;
}
  ? InputFlags<C, T>
  : CallFlags<C, T>;

export type AnswerOf<D extends Definition, C extends boolean, T extends boolean> = D extends {
  readonly result: infer R extends v.GenericSchema;
}
  ? D extends { readonly event: infer E extends v.GenericSchema }
    ? CallAnswer<v.InferOutput<E>, Seen<v.InferOutput<R>>, C, T, Said<v.InferOutput<E>>>
    : CallAnswer<never, Seen<v.InferOutput<R>>, C, T>
  : JobAnswer<C, T>;

/** The arguments of a method: as many of the fields as are wanted without their names, and then the rest. */
type Arguments<Input, Fields extends readonly string[], Options, Given extends readonly unknown[] = []> =
  | [...Given, ...Last<Input, Options>]
  | (Fields extends readonly [infer F extends keyof Input, ...infer Others extends readonly string[]]
      ? Arguments<
          Omit<Input, F>,
          Others,
          Options,
          [...Given, argument: Argument<Exclude<Input[F], undefined>>]
        >
      : never);

/** A list may be given as its only element. */
type Argument<T> = T extends readonly (infer U)[] ? readonly U[] | U : T;

type Last<Input, Options> = {} extends Input
  ? [options?: Both<Input, Options>]
  : [options: Both<Input, Options>];

/** An input's field comes before an option of its name. */
type Both<Input, Options> = Flat<Input & Omit<Options, keyof Input>>;
type Flat<T> = { [K in keyof T]: T[K] } & {};

/** The name of a command, built in or custom. */
export type AnyName = CommandName | (string & {});

/** What `call` takes behind the name: of a custom command, anything. */
export type CallArguments<N extends string, C extends boolean, T extends boolean> = N extends CommandName
  ? {} extends InputOf<Builtins[N]>
    ? [input?: InputOf<Builtins[N]>, options?: FlagsOf<Builtins[N], C, T>]
    : [input: InputOf<Builtins[N]>, options?: FlagsOf<Builtins[N], C, T>]
  : [input?: unknown, options?: CustomFlags<C, T>];

/** How a command of the server's own is called, which may become a job. */
export type CustomFlags<C extends boolean, T extends boolean> = InputFlags<C, T> & JobTerms;

export type CalledAnswer<N extends string, C extends boolean, T extends boolean> = N extends CommandName
  ? AnswerOf<Builtins[N], C, T>
  : CustomAnswer<C, T>;

/** What a custom command answers, which may become a job. */
export type CustomAnswer<C extends boolean, T extends boolean> =
  CallAnswer<unknown, unknown, C, T, Said<unknown>> | JobAnswer<C, T>;

/** A custom command by its name, in camelCase or as it is written. */
export type CustomMethods = {
  readonly [name: string]: <C extends boolean = true, T extends boolean = false>(
    input?: unknown,
    options?: CustomFlags<C, T>,
  ) => Promise<CustomAnswer<C, T>>;
};

/** Custom commands, and the built-in command of that name if there is one. */
export type Commands = CommandMethods extends { readonly commands: infer M }
  ? M & CustomMethods
  : CustomMethods;
