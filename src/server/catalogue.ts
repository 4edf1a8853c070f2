import type * as v from "valibot";
import type { Ability, System } from "../commands/define.ts";
import { type Builtin, findCommand, listCommands } from "../commands/index.ts";
import type { CommandDescription } from "../protocol/description.ts";
import { AppError } from "../protocol/error.ts";
import type { CustomCommand } from "./extensions/custom.ts";
import type { Extensions } from "./extensions/extensions.ts";

export interface CatalogueOptions {
  readonly system: System;
  readonly isAble: (ability: Ability) => boolean;
  readonly extensions: Pick<Extensions, "find" | "findOnceBuilt" | "list" | "ready">;
}

/** Milliseconds for which who asks for all is kept waiting for those that are just being built. */
const LISTING_PATIENCE = 3_000;

/** The commands that this server offers: those that its system and its machine can do, and those of its operator's own. */
export class Catalogue {
  readonly #options: CatalogueOptions;

  constructor(options: CatalogueOptions) {
    this.#options = options;
  }

  /** As far as is known at this moment: one of the operator's own may turn up later. Throws `unknown_command` for what cannot be done here. */
  find(name: string): Builtin | CustomCommand | undefined {
    const command = findCommand(name);
    if (command === undefined) return this.#options.extensions.find(name.replaceAll("_", "-"));
    if (this.#offers(command)) return command;
    throw unknown(name, "this machine cannot do that");
  }

  /** One of the operator's own, once it is known. Throws `unknown_command` for one that there is not. */
  async findOwn(name: string): Promise<CustomCommand> {
    const command = await this.#options.extensions.findOnceBuilt(name.replaceAll("_", "-"));
    if (command !== undefined) return command;
    throw unknown(name, "this server has no such command");
  }

  /** What all of them are, or those of these names. Throws `unknown_command`. */
  async describe(names: readonly string[]): Promise<readonly CommandDescription[]> {
    const { extensions } = this.#options;
    if (names.length === 0) await extensions.ready(LISTING_PATIENCE);
    const all = () => [...listCommands().filter((command) => this.#offers(command)), ...extensions.list()];
    const commands =
      names.length === 0
        ? all()
        : await Promise.all(names.map((name) => this.find(name) ?? this.findOwn(name)));
    const { toJsonSchema } = await import("@valibot/to-json-schema");
    // Checks that are code have no place in a JSON Schema: they are left out.
    const convert = (schema: v.GenericSchema) => ({
      ...toJsonSchema(schema, { errorMode: "ignore", typeMode: "input" }),
    });
    return commands.map((command) =>
      "unit" in command ? command.description : toDescription(command, convert),
    );
  }

  #offers({ systems, ability }: Offer): boolean {
    const { system, isAble } = this.#options;
    return (systems?.includes(system) ?? true) && (ability === undefined || isAble(ability));
  }
}

function unknown(name: string, why: string): AppError {
  return new AppError(
    "unknown_command",
    `Cannot call "${name}": ${why}; farhand commands lists what there is`,
  );
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
