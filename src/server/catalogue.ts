import type * as v from "valibot";
import type { Ability, System } from "../commands/define.ts";
import { type Builtin, findCommand, listCommands } from "../commands/index.ts";
import type { CommandDescription } from "../protocol/description.ts";
import { AppError } from "../protocol/error.ts";

export interface CatalogueOptions {
  readonly system: System;
  readonly isAble: (ability: Ability) => boolean;
}

/** The commands that this server offers: those that its system and its machine can do. */
export class Catalogue {
  readonly #options: CatalogueOptions;

  constructor(options: CatalogueOptions) {
    this.#options = options;
  }

  /** Throws `unknown_command` for one that there is not, or not here. */
  get(name: string): Builtin {
    const command = findCommand(name);
    if (command !== undefined && this.#offers(command)) return command;
    const why = command === undefined ? "this server has no such command" : "this machine cannot do that";
    throw new AppError(
      "unknown_command",
      `Cannot call "${name}": ${why}; farhand commands lists what there is`,
    );
  }

  /** What all of them are, or those of these names. Throws `unknown_command`. */
  async describe(names: readonly string[]): Promise<readonly CommandDescription[]> {
    const commands =
      names.length > 0
        ? names.map((name) => this.get(name))
        : listCommands().filter((command) => this.#offers(command));
    const { toJsonSchema } = await import("@valibot/to-json-schema");
    // Checks that are code have no place in a JSON Schema: they are left out.
    const convert = (schema: v.GenericSchema) => ({
      ...toJsonSchema(schema, { errorMode: "ignore", typeMode: "input" }),
    });
    return commands.map((command) => toDescription(command, convert));
  }

  #offers({ systems, ability }: Offer): boolean {
    const { system, isAble } = this.#options;
    return (systems?.includes(system) ?? true) && (ability === undefined || isAble(ability));
  }
}

/** Where a command is offered. */
type Offer = { readonly systems?: readonly System[]; readonly ability?: Ability };

function toDescription(
  { name, kind, summary, permission, idempotent, ...command }: Builtin,
  convert: (schema: v.GenericSchema) => Record<string, unknown>,
): CommandDescription {
  const { input, event, positional = [] } = command;
  return {
    name,
    kind,
    summary,
    permission,
    idempotent,
    takesInput: "takesInput" in command && Boolean(command.takesInput),
    positional: [...positional],
    input: convert(input),
    ...(event && { event: convert(event) }),
    ...("result" in command && { result: convert(command.result) }),
  };
}
