import { isAbsolute, resolve } from "node:path";
import type { VariableChange } from "../../commands/access/workspace.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_WORKSPACE_BYTES, MAX_WORKSPACE_VARIABLES } from "../../protocol/limits.ts";
import { fromBytes, toBytes } from "../../protocol/path.ts";
import type { Contents, WorkspaceId } from "./store.ts";

/** What every workspace is made on. */
export interface Ground {
  /** The home of the user as whom everything is done: absolute, without links. */
  readonly home: Uint8Array;
  /** What jobs inherit: the server's own environment, or that of another user's login. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The same for somebody who begins in another directory, if one is named that can be one. */
export function withHome(ground: Ground, home: string | undefined): Ground {
  return home === undefined || !isAbsolute(home) ? ground : { ...ground, home: Buffer.from(resolve(home)) };
}

export const UNCHANGED: Contents = { set: {}, unset: [] };

/** A workspace as it is between two changes: ready for any number of calls, each of which finds all it needs in memory. */
export class Workspace {
  readonly id: WorkspaceId;
  readonly contents: Contents;
  /** What it is made on. */
  readonly ground: Ground;
  /** Absolute. */
  readonly cwd: Uint8Array;
  readonly environment: Readonly<Record<string, string>>;
  /** Of what it keeps beyond its name. */
  readonly bytes: number;

  constructor(id: WorkspaceId, contents: Contents, ground: Ground) {
    const { home, environment } = ground;
    this.id = id;
    this.contents = contents;
    this.ground = ground;
    this.cwd = contents.cwd === undefined ? home : toBytes(contents.cwd);
    this.environment = toEnvironment(environment, contents);
    this.bytes = countBytes(contents);
  }
}

/** The same on another ground: who has two roles may be two users of the machine in one workspace. */
export function toWorkspaceOn(workspace: Workspace, ground: Ground): Workspace {
  return workspace.ground === ground ? workspace : new Workspace(workspace.id, workspace.contents, ground);
}

/** With another directory, from which `-` leads back. */
export function withDirectory(workspace: Workspace, cwd: Uint8Array): Contents {
  return { ...workspace.contents, cwd: fromBytes(cwd), previous: fromBytes(workspace.cwd) };
}

/** With other variables. Throws `too_many`. */
export function withVariables(
  { id, contents }: Workspace,
  { set, unset, inherit }: VariableChange,
): Contents {
  const gone = toMatcher([...Object.keys(set), ...unset, ...inherit]);
  const kept = Object.entries(contents.set).filter(([name]) => !gone(name));
  const changed = {
    ...contents,
    set: Object.fromEntries([...kept, ...Object.entries(set)]),
    unset: [...contents.unset.filter((name) => !gone(name)), ...new Set(unset)],
  };
  checkSize(id, changed);
  return changed;
}

/** Windows knows one variable by its name in any case. */
export function toMatcher(names: readonly string[]): (name: string) => boolean {
  const fold = (name: string) => (process.platform === "win32" ? name.toUpperCase() : name);
  const known = new Set(names.map(fold));
  return (name) => known.has(fold(name));
}

function toEnvironment(
  own: Ground["environment"],
  { set, unset }: Contents,
): Readonly<Record<string, string>> {
  if (unset.length === 0 && Object.keys(set).length === 0) return own;
  const gone = toMatcher([...Object.keys(set), ...unset]);
  return Object.fromEntries([...Object.entries(own).filter(([name]) => !gone(name)), ...Object.entries(set)]);
}

function checkSize({ name }: WorkspaceId, contents: Contents): void {
  const variables = Object.keys(contents.set).length + contents.unset.length;
  const refuse = (most: string) =>
    new AppError("too_many", `Cannot set so much in workspace "${name}": it has room for ${most}`);
  if (variables > MAX_WORKSPACE_VARIABLES) throw refuse(`${MAX_WORKSPACE_VARIABLES} variables`);
  if (countBytes(contents) > MAX_WORKSPACE_BYTES) throw refuse(`${MAX_WORKSPACE_BYTES} bytes of variables`);
}

function countBytes({ set, unset }: Contents): number {
  return [...Object.entries(set).flat(), ...unset].reduce(
    (bytes, text) => bytes + Buffer.byteLength(text),
    0,
  );
}
