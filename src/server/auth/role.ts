import type { Permission } from "../../commands/define.ts";
import { matchesAny } from "./pattern.ts";

/** What a role limits of each job that it starts, and of all of them together. */
export interface RoleLimits {
  /** Jobs that run at once, of one user in this role. */
  readonly jobs?: number | undefined;
  /** Bytes of output that a job may write. */
  readonly outputBytes?: number | undefined;
  /** Milliseconds that a job may run. */
  readonly time?: number | undefined;
  /** Bytes of memory that a job may take. */
  readonly memoryBytes?: number | undefined;
  /** Processes and threads of a job. */
  readonly processes?: number | undefined;
}

/** Every permission that there is, the least harmful first. */
export const PERMISSIONS = [
  "read",
  "write",
  "exec",
  "control",
  "power",
] as const satisfies readonly Permission[];

/** What somebody may do. Nothing is allowed that it does not say. */
export interface Role {
  readonly name: string;
  readonly permissions: ReadonlySet<Permission>;
  /** Globs of the names of commands; undefined for all that the permissions allow. */
  readonly commands: readonly string[] | undefined;
  /** Globs of names of servers; elsewhere it has no permissions. Undefined for everywhere. */
  readonly hosts: readonly string[] | undefined;
  /** Directories in which it works; undefined for everywhere, which takes `exec`. */
  readonly roots: readonly string[] | undefined;
  /** The user, or `user:group`, whom its programs run as, and its files are touched as; undefined for the server's own. */
  readonly runAs: string | undefined;
  /** Globs of the names of variables that its calls and workspaces may set; undefined for all. */
  readonly environment: readonly string[] | undefined;
  /** Whether it sees the jobs of others. */
  readonly seesAllJobs: boolean;
  readonly limits: RoleLimits;
}

const PLAIN = {
  commands: undefined,
  hosts: undefined,
  roots: undefined,
  runAs: undefined,
  environment: undefined,
  limits: {},
} as const satisfies Partial<Role>;

/** Everything. It is also what this start's own token stands for. */
export const ADMIN: Role = {
  ...PLAIN,
  name: "admin",
  permissions: new Set<Permission>(PERMISSIONS),
  seesAllJobs: true,
};

/** Runs programs and sees everybody's, but stops neither the server nor the machine. */
export const OPERATOR: Role = {
  ...PLAIN,
  name: "operator",
  permissions: new Set<Permission>(["read", "write", "exec"]),
  seesAllJobs: true,
};

/** Looks at its own jobs and at the machine; at files only where a configuration gives it roots. */
export const VIEWER: Role = {
  ...PLAIN,
  name: "viewer",
  permissions: new Set<Permission>(["read"]),
  roots: [],
  seesAllJobs: false,
};

export const BUILTIN_ROLES = [ADMIN, OPERATOR, VIEWER] as const;

/** Whether a role allows a command by its name, as far as its permissions do. */
export function allowsCommand({ commands }: Role, name: string): boolean {
  return commands === undefined || matchesAny(commands, name);
}

/** Whether a role lets its bearer run programs, and so be whoever they run as. */
export function mayRunPrograms(role: Role): boolean {
  return role.permissions.has("exec") && allowsCommand(role, "exec");
}
