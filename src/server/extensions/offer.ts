import type { ModuleDescription } from "../../module/description.ts";
import type { Permission } from "../../commands/define.ts";
import type { CommandDescription } from "../../protocol/description.ts";
import { PERMISSIONS } from "../auth/role.ts";
import { findRunAsFault } from "../logins/run-as.ts";
import type { CustomCommand } from "./custom.ts";
import {
  type CommandSettings,
  type ExtensionSettings,
  findNameFault,
  type ProgramSettings,
} from "./settings.ts";
import type { Fault } from "./sources.ts";

/** A module that was built and described. */
export interface Extension {
  /** Where it was found, and what reports call it. */
  readonly file: string;
  readonly name: string;
  /** What runners load. */
  readonly source: Uint8Array;
  readonly description: ModuleDescription;
  /** Files that it was made of, absolute. */
  readonly inputs: readonly string[];
  /** Of a pack: its configuration, which fits it. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Which commands of one's own there are, by their names, and which there are not though somebody wants them. */
export interface Offer {
  readonly commands: ReadonlyMap<string, CustomCommand>;
  readonly faults: readonly Fault[];
}

type Described = ModuleDescription["commands"][number];
type Stated = Pick<ExtensionSettings, "commands" | "programs" | "packs">;

/** Milliseconds that one in the foreground may take unless somebody says so. */
const FOREGROUND_TIMEOUT = 60_000;
/** Bytes that all descriptions together may take as JSON: whoever asks for all is answered in one frame, with the built-in ones. */
const MAX_DESCRIBED_BYTES = 512 * 1024;

/** What modules and the configuration offer together. Of two commands of a name the first is it. */
export function toOffer(extensions: readonly Extension[], settings: Stated): Offer {
  const commands = new Map<string, CustomCommand>();
  const whose = new Map<string, string>();
  const faults: Fault[] = [];
  let room = MAX_DESCRIBED_BYTES;
  const add = (command: CustomCommand, from: string) => {
    const other = whose.get(command.name);
    const left = room - JSON.stringify(command.description).length;
    const taken = other && `${other} has a command of that name already`;
    const full = left < 0 ? `the descriptions of all take more than ${MAX_DESCRIBED_BYTES} bytes` : undefined;
    const fault = findFault(command) ?? taken ?? full;
    if (fault !== undefined) return faults.push({ name: `${from}: ${command.name}`, reason: fault });
    room = left;
    commands.set(command.name, command);
    whose.set(command.name, from);
  };
  for (const [name, program] of Object.entries(settings.programs))
    add(toProgramCommand(name, program), "configuration");
  for (const extension of extensions)
    for (const described of extension.description.commands)
      add(toModuleCommand(described, extension, settings), extension.name);
  for (const name of Object.keys(settings.commands))
    if (!commands.has(name))
      faults.push({
        name: `commands.${name}`,
        reason: "no module has a command of that name, and it has no program",
      });
  const packs = extensions.flatMap(({ description }) => description.pack?.name ?? []);
  for (const name of Object.keys(settings.packs))
    if (!packs.includes(name))
      faults.push({ name: `extensions.${name}`, reason: "no module is a pack of that name" });
  return { commands, faults };
}

function findFault({ name, kind, runAs, isInline }: CustomCommand): string | undefined {
  if (isInline && (kind === "background" || runAs !== undefined))
    return "what is done in the server itself is neither a job nor another user's";
  const unfit = runAs === undefined ? undefined : findRunAsFault(runAs);
  return findNameFault(name) ?? (unfit && `of its user "${runAs}": ${unfit}`);
}

function toModuleCommand(
  described: Described,
  extension: Extension,
  { commands }: Pick<Stated, "commands">,
): CustomCommand {
  const { timeoutMs, runAs, confidential, doing: _, ...description } = described;
  const { source, description: module, config } = extension;
  const stated = commands[described.name];
  return toCommand(
    { ...description, custom: true },
    { ...stated, timeoutMs: stated?.timeoutMs ?? timeoutMs, runAs: stated?.runAs ?? runAs, confidential },
    {
      type: "module",
      hash: module.hash,
      source,
      ...(config && { config }),
      ...(module.pack && { pack: module.pack.name }),
      isShared: module.pack?.hasInit ?? false,
    },
  );
}

function toProgramCommand(name: string, program: ProgramSettings): CustomCommand {
  const { argv, summary, kind, idempotent, input, positional, permission = "exec" } = program;
  const description: CommandDescription = {
    name,
    kind,
    summary,
    permission,
    idempotent,
    takesInput: kind === "background",
    positional: [...positional],
    input,
    event: {}, // whatever its lines say
    custom: true,
  };
  return toCommand(description, program, { type: "program", argv });
}

/** What a module says was checked as it was described; what is none all the same takes the most. */
function toPermission(text: string): Permission {
  return PERMISSIONS.find((permission) => permission === text) ?? "power";
}

type Terms = Pick<CustomCommand, "confidential"> & Partial<CommandSettings>;

function toCommand(
  described: CommandDescription,
  { permission: stated, timeoutMs, runAs, isInline = false, confidential }: Terms,
  unit: CustomCommand["unit"],
): CustomCommand {
  const { name, kind } = described;
  const permission = stated ?? toPermission(described.permission);
  return {
    name,
    kind,
    permission,
    confidential,
    description: { ...described, permission },
    timeoutMs: timeoutMs ?? (kind === "foreground" ? FOREGROUND_TIMEOUT : undefined),
    runAs,
    isInline,
    unit,
  };
}
