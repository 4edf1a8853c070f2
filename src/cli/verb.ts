import type { CliArg } from "../commands/define.ts";
import type { ArgSpecs, Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";

/** Something that `farhand` can be told to do. */
export interface Verb {
  readonly summary: string;
  readonly args: ArgSpecs;
  /** What the rest of the command line is called in help, if there may be any. */
  readonly rest?: string;
  /** The rest begins at the first word that is no option, and is not searched for options. */
  readonly takesRest?: boolean;
  /** What each word of the rest is, where that is known; the last says it of all that follow. */
  readonly words?: readonly CliArg[];
  /** What its words are read as, where they may be written in other ways too. */
  readonly spell?: (words: readonly string[]) => readonly string[];
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Answers the exit code. */
  readonly run: (values: Arguments, context: Context) => Promise<number>;
}

/** A word that means nothing alone: what it names can be done in several ways, as in `job show`. */
export interface Group {
  readonly summary: string;
  readonly verbs: Readonly<Record<string, () => Promise<Verb>>>;
  readonly examples: Verb["examples"];
}

export function isGroup(topic: Verb | Group): topic is Group {
  return "verbs" in topic;
}
