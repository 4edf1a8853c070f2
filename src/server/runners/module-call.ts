import type { Caller } from "../../module/caller.ts";
import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import type { Login } from "../logins/login.ts";

/** The bundle in which a custom command is, as a runner is told once. */
export interface ModuleUnit {
  readonly type: "module";
  /** Sha256 of the source, in hex. */
  readonly hash: string;
  readonly source: Uint8Array;
  /** Of a pack: its configuration. */
  readonly config?: unknown;
  /** The name of its pack, if it is one. */
  readonly pack?: string;
  /** A pack with an `init`: one process does all its calls for everybody, one after another. */
  readonly isShared: boolean;
}

/** What tells a module, as it is configured, from others. */
export function toMark({ hash, config }: ModuleUnit): string {
  return JSON.stringify([hash, config]);
}

/** A program that the configuration calls a command: it finds the input as a line of JSON, and prints its events. */
export interface ProgramUnit {
  readonly type: "program";
  readonly argv: readonly string[];
}

/** One call of a custom command in the foreground. */
export interface ModuleCall {
  readonly unit: ModuleUnit | ProgramUnit;
  readonly command: string;
  /** As it came from the caller, decoded. */
  readonly input: unknown;
  readonly caller: Caller;
  readonly workspace: Pick<WorkspaceAccess, "cwd" | "environment">;
  /** As whom it is done, if not as the server's own user. */
  readonly login?: Login | undefined;
  /** Whose call it is: what is done for others is done in other processes. */
  readonly owner: string;
  readonly timeoutMs: number;
  /** Whether anybody takes what it says on the way; otherwise it says nothing. */
  readonly isHeard: boolean;
  /** What the caller sends along, if the command takes that. */
  readonly bytes?: AsyncIterable<Uint8Array> | undefined;
}

/** What a custom command says on the way, each of at most 64 KiB: bytes, or a value as `encodeValue` writes one, in `part`s that a `value` ends. */
export interface ModuleSaid {
  readonly type: "bytes" | "part" | "value";
  readonly payload: Uint8Array;
}
