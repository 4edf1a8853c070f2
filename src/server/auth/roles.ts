import { isAbsolute, resolve } from "node:path";
import * as v from "valibot";
import { listCommands } from "../../commands/index.ts";
import type { Permission } from "../../commands/define.ts";
import { parseDuration } from "../../lib/duration.ts";
import { parseSize } from "../../lib/size.ts";
import type { AppError } from "../../protocol/error.ts";
import { findRunAsFault } from "../logins/run-as.ts";
import { toQuantity } from "../quantity.ts";
import { matchesAny } from "./pattern.ts";
import { ADMIN, BUILTIN_ROLES, PERMISSIONS, type Role } from "./role.ts";

const text = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.check((text) => !text.includes("\0"), "holds a NUL"),
);

/** What the configuration file may say of one role. */
const RoleTable = v.strictObject({
  permissions: v.optional(v.array(v.picklist(PERMISSIONS))),
  commands: v.optional(v.array(text)),
  hosts: v.optional(v.array(text)),
  roots: v.optional(v.array(text)),
  run_as: v.optional(text),
  environment: v.optional(v.array(text)),
  all_jobs: v.optional(v.boolean()),
  limits: v.optional(
    v.strictObject({
      jobs: v.optional(v.pipe(v.number(), toQuantity(parseCount))),
      output: v.optional(v.pipe(v.string(), toQuantity(parseLimit(parseSize)))),
      time: v.optional(v.pipe(v.string(), toQuantity(parseLimit(parseDuration)))),
      memory: v.optional(v.pipe(v.string(), toQuantity(parseLimit(parseSize)))),
      processes: v.optional(v.pipe(v.number(), toQuantity(parseCount))),
    }),
  ),
});
type RoleTable = v.InferOutput<typeof RoleTable>;

/** `[roles.NAME]`: what roles there are besides the built-in ones, and what those are to be instead. */
export const RolesTable = v.record(v.string(), RoleTable);
export type RolesTable = v.InferOutput<typeof RolesTable>;

/** Every role that there is, by its name. */
export type Roles = ReadonlyMap<string, Role>;

/** Where roles are to count. */
export interface Place {
  /** What the server's machine is called. */
  readonly names: readonly string[];
  /** Whether the server could start programs as another user. */
  readonly canRunAs: boolean;
  /** Commands that the configuration makes of programs, and whether there is a place for modules, which may have any others. */
  readonly programs?: readonly string[];
  readonly mayHaveModules?: boolean;
}

const NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;

/**
 * The built-in roles, and those of a configuration over them: what it does not say of a built-in one stays. Throws what
 * `refuse` makes of the key that makes no sense, and of why.
 */
export function toRoles(
  table: RolesTable,
  place: Place,
  refuse: (key: string, why: string) => AppError,
): Roles {
  const roles = new Map<string, Role>(BUILTIN_ROLES.map((role) => [role.name, role]));
  for (const [name, said] of Object.entries(table)) {
    if (!NAME.test(name))
      throw refuse(`roles.${name}`, "a role's name has letters, digits and ._@- and at most 64 of them");
    const role = toRole(name, said, roles.get(name));
    checkRole(role, said, place, (key, why) => refuse(`roles.${name}.${key}`, why));
    const isHere = role.hosts === undefined || place.names.some((one) => matchesAny(role.hosts ?? [], one));
    if (isHere && role.runAs !== undefined && !place.canRunAs)
      throw refuse(`roles.${name}.run_as`, "only a server that runs as root can start programs as others");
    roles.set(name, isHere ? role : { ...role, permissions: new Set(), seesAllJobs: false });
  }
  return roles;
}

/** The roles of a server without a configuration. */
export const DEFAULT_ROLES: Roles = new Map<string, Role>(BUILTIN_ROLES.map((role) => [role.name, role]));

function toRole(name: string, said: RoleTable, base: Role | undefined): Role {
  const { permissions, commands, hosts, roots, run_as: runAs, environment, all_jobs, limits } = said;
  const known: Role = base ?? { ...ADMIN, name, permissions: new Set(), seesAllJobs: false };
  return {
    name,
    permissions: permissions === undefined ? known.permissions : new Set(permissions),
    commands: commands?.map((glob) => glob.replaceAll("_", "-")) ?? known.commands,
    hosts: hosts?.map((glob) => glob.toLowerCase()) ?? known.hosts,
    roots: roots?.map((root) => (isAbsolute(root) ? resolve(root) : root)) ?? known.roots,
    runAs: runAs ?? known.runAs,
    environment: environment ?? known.environment,
    seesAllJobs: all_jobs ?? known.seesAllJobs,
    limits: {
      ...known.limits,
      ...(limits?.jobs !== undefined && { jobs: limits.jobs }),
      ...(limits?.output !== undefined && { outputBytes: limits.output }),
      ...(limits?.time !== undefined && { time: limits.time }),
      ...(limits?.memory !== undefined && { memoryBytes: limits.memory }),
      ...(limits?.processes !== undefined && { processes: limits.processes }),
    },
  };
}

/** What can only be a mistake is one: a role that does not do what its author thinks is a hole. */
function checkRole(
  { permissions, commands, roots, runAs }: Role,
  said: RoleTable,
  { programs = [], mayHaveModules = false }: Place,
  refuse: (key: string, why: string) => AppError,
): void {
  if (permissions.size === 0) throw refuse("permissions", `say which: ${PERMISSIONS.join(", ")}`);
  for (const [index, glob] of (commands ?? []).entries()) {
    const meant = listCommands().filter(({ name }) => matchesAny([glob], name));
    const isOfOnesOwn = mayHaveModules || programs.some((name) => matchesAny([glob], name));
    if (meant.length === 0 && isOfOnesOwn) continue;
    if (meant.length === 0)
      throw refuse(
        `commands.${index}`,
        "it matches no command; farhand commands lists them, and those of modules count where commands.files or commands.directory names these",
      );
    if (!isOfOnesOwn && !meant.some(({ permission }) => permissions.has(permission)))
      throw refuse(
        `commands.${index}`,
        `what it matches takes the permission ${quoteAll(meant.map(({ permission }) => permission))}`,
      );
  }
  const relative = roots?.findIndex((root) => !isAbsolute(root)) ?? -1;
  if (relative >= 0) throw refuse(`roots.${relative}`, "write an absolute path");
  if (permissions.has("write") && !permissions.has("exec") && (roots ?? []).length === 0)
    throw refuse(
      said.permissions === undefined ? "roots" : "permissions",
      'who may "write" without "exec" needs roots to write in',
    );
  if (runAs === undefined) return;
  const fault = findRunAsFault(runAs);
  if (fault !== undefined) throw refuse("run_as", fault);
}

function quoteAll(permissions: readonly Permission[]): string {
  return [...new Set(permissions)].map((name) => `"${name}"`).join(" or ");
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new RangeError(`Cannot read count "${text}": write a whole number from 1 on`);
}

/** A limit of nothing would end every job at once. */
function parseLimit(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    const limit = parse(text);
    if (limit === 0) throw new RangeError(`Cannot use limit "${text}": a limit is more than nothing`);
    return limit;
  };
}
