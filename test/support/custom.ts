import type { CustomCommand } from "../../src/server/extensions/custom.ts";
import type { Extensions } from "../../src/server/extensions/extensions.ts";
import type { ExtensionSettings } from "../../src/server/extensions/settings.ts";

/** A command of the operator's own. */
export function createCustom({
  description,
  ...more
}: Partial<CustomCommand> & { name: string }): CustomCommand {
  const { name, kind = "foreground", permission = "exec" } = more;
  return {
    kind,
    permission,
    confidential: [],
    timeoutMs: undefined,
    runAs: undefined,
    isInline: false,
    unit: { type: "module", hash: "00", source: new Uint8Array(0), isShared: false },
    ...more,
    description: {
      name,
      kind,
      summary: name,
      permission,
      idempotent: false,
      takesInput: kind === "background",
      positional: [],
      input: { type: "object" },
      custom: true,
      ...description,
    },
  };
}

/** A server's own commands that are these. */
export function createExtensions(
  own: readonly CustomCommand[] = [],
): Pick<Extensions, "find" | "findOnceBuilt" | "list" | "ready"> {
  const find = (name: string) => own.find((command) => command.name === name);
  return {
    find,
    findOnceBuilt: async (name) => find(name),
    list: () => own,
    ready: async () => {},
  };
}

/** What a configuration says of commands that says nothing of them. */
export function createSettings(directory: string, more: Partial<ExtensionSettings> = {}): ExtensionSettings {
  return {
    directory,
    isNamed: false,
    files: [],
    watch: false,
    commands: {},
    programs: {},
    packs: {},
    ...more,
  };
}
