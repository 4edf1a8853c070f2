import type { ArgsDef } from "citty";
import { AppError } from "../../../protocol/error.ts";
import { prepareState } from "../../state.ts";
import type { ServerConfig } from "../../config.ts";
import type { Builder } from "../../extensions/builder.ts";
import type { Flags } from "../../flags.ts";
import { toStoreError } from "../database.ts";
import { parseLifetime } from "../lifetime.ts";
import { parseName } from "../name.ts";
import { Store } from "../store.ts";

/** How a verb reaches whoever typed it. */
export interface Console {
  /** What was asked for, alone: to stdout. */
  readonly print: (text: string) => void;
  /** What else is to be said, on stderr. */
  readonly note: (text: string) => void;
  /** Asks twice for a new password, or reads it from stdin. */
  readonly readPassword: (fromStdin: boolean) => Promise<string>;
  /** What builds modules. */
  readonly builder: Pick<Builder, "build">;
  /** Aborted by whoever is tired of waiting. */
  readonly signal: AbortSignal;
}

/** Something that can be done with what a verb names, as in `token create`. */
export interface Action {
  readonly description: string;
  readonly args: ArgsDef;
  readonly examples: readonly (readonly [line: string, what: string])[];
  readonly run: (flags: Flags, config: ServerConfig, console: Console) => Promise<void>;
}

/** Does it. Throws what prevents it, in a sentence. */
export async function act(action: Action, ...given: Parameters<Action["run"]>): Promise<void> {
  try {
    await action.run(...given);
  } catch (error) {
    throw toStoreError(error);
  }
}

/** The store of a state directory, for one verb. Throws `state_unusable`. */
export function openStore({ state }: ServerConfig): Store {
  process.umask(0o077);
  prepareState(state);
  return new Store(state, () => Date.now());
}

/** What stands alone on the command line. Throws `invalid_input` when it is missing. */
export function getName(flags: Flags, what: string, key = "name"): string {
  const name = flags[key];
  if (typeof name === "string" && name !== "") return name;
  throw new AppError("invalid_input", `Cannot read the command line: say the name of the ${what}`);
}

export function toText(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" ? value : undefined;
}

/** Milliseconds of an option such as `--expires`. Throws `invalid_input`. */
export function toLifetime(flags: Flags, name: string): number | undefined {
  const text = toText(flags, name);
  if (text === undefined) return undefined;
  try {
    return parseLifetime(text);
  } catch (error) {
    throw error instanceof RangeError
      ? new AppError(
          "invalid_input",
          `Cannot use --${name} "${text}": ${error.message.replace(/^.*?": /, "")}`,
        )
      : error;
  }
}

/** The user of `--user`, or this one. */
export function toUser(flags: Flags, otherwise: string): string {
  return parseName(toText(flags, "user") ?? otherwise, "user");
}

/** What somebody is who is given no role: he may run programs, but stops neither the server nor the machine. */
const DEFAULT_ROLE = "operator";

/**
 * The roles of `--role`; without it those that he has already, or `operator`. Throws `invalid_input` for one that is not
 * configured, or that he has not.
 */
export function toRoles(flags: Flags, { roles }: ServerConfig, has?: readonly string[]): readonly string[] {
  const wanted = flags["role"];
  if (!Array.isArray(wanted)) return has ?? [DEFAULT_ROLE];
  for (const name of wanted) {
    if (!roles.has(name))
      throw new AppError(
        "invalid_input",
        `Cannot use role "${name}": there are ${[...roles.keys()].join(", ")}`,
      );
    if (has !== undefined && !has.includes(name))
      throw new AppError("invalid_input", `Cannot give role "${name}": the user has only ${has.join(", ")}`);
  }
  return [...new Set(wanted)];
}

/** A moment as it is shown. */
export function toMoment(ms: number | null): string {
  return ms === null ? "never" : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

export const role: ArgsDef = {
  role: {
    type: "string",
    valueHint: "role",
    description: `May be repeated: admin, operator, viewer, or one of the configuration (default of somebody new: ${DEFAULT_ROLE})`,
  },
};
