import type { CommandDescription } from "../../protocol/description.ts";
import type { Permission } from "../../commands/define.ts";
import type { ModuleUnit, ProgramUnit } from "../runners/module-call.ts";

/** A command of the operator's own, as it is called. */
export interface CustomCommand {
  readonly name: string;
  readonly kind: "foreground" | "background";
  readonly permission: Permission;
  /** Fields of its input whose values no record tells. */
  readonly confidential: readonly string[];
  /** What clients are told of it. */
  readonly description: CommandDescription;
  /** Milliseconds after which it is ended, if any. */
  readonly timeoutMs: number | undefined;
  /** As whom it is done whoever calls, if it says so. */
  readonly runAs: string | undefined;
  /** Whether it is done in the server itself. */
  readonly isInline: boolean;
  /** What does it. */
  readonly unit: ModuleUnit | ProgramUnit;
}
