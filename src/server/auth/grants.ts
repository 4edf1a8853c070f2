import type { Permission } from "../../commands/define.ts";
import { AppError } from "../../protocol/error.ts";
import type { Restriction } from "../../protocol/restriction.ts";
import { matchesAny } from "./pattern.ts";
import type { Role } from "./role.ts";

/** What is checked of a command, before its input is. */
export interface CheckedCommand {
  readonly name: string;
  readonly permission: Permission;
}

/** What somebody may do: what one of his roles allows and nothing that his token was narrowed by forbids. */
export class Grants {
  readonly #roles: readonly Role[];
  readonly #restrictions: readonly Restriction[];

  constructor(roles: readonly Role[], restrictions: readonly Restriction[] = []) {
    this.#roles = roles;
    this.#restrictions = restrictions;
  }

  /** Whether jobs of others may be seen. A narrowed token sees those that were started with it, and no more. */
  get seesAllJobs(): boolean {
    return this.#restrictions.length === 0 && this.#roles.some(({ seesAllJobs }) => seesAllJobs);
  }

  /** Throws `forbidden` unless one of these permissions is granted; it names the first. `what`: what is refused, as in `stop the server`. */
  demand(needed: readonly [Permission, ...Permission[]], what: string): void {
    const [permission] = needed;
    const isGranted = this.#roles.some(({ permissions }) => needed.some((one) => permissions.has(one)));
    if (!isGranted) throw refuse(what, permission);
  }

  /** The first role that allows a command, which then says how it is done. Throws `forbidden`. */
  demandCommand({ name, permission }: CheckedCommand): Role {
    const what = `call "${name}"`;
    if (this.#restrictions.some(({ commands }) => commands && !matchesAny(commands, name)))
      throw new AppError("forbidden", `Cannot ${what}: your token was narrowed to other commands`, {
        details: { permission, command: name },
      });
    const role = this.#roles.find(
      ({ permissions, commands }) =>
        permissions.has(permission) && (commands === undefined || matchesAny(commands, name)),
    );
    if (role === undefined) throw refuse(what, permission);
    return role;
  }
}

function refuse(what: string, permission: Permission): AppError {
  return new AppError("forbidden", `Cannot ${what}: you lack the permission "${permission}"`, {
    details: { permission },
  });
}
