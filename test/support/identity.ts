import type { Permission } from "../../src/commands/define.ts";
import type { Restriction } from "../../src/protocol/restriction.ts";
import { Grants } from "../../src/server/auth/grants.ts";
import type { Identity } from "../../src/server/auth/identity.ts";
import { ADMIN, type Role } from "../../src/server/auth/role.ts";

/** A role as configured for a test: everything that `admin` may, but for what is said. */
export function createRole(said: Partial<Role>): Role {
  return { ...ADMIN, name: "tested", ...said };
}

/** Somebody who may do everything, but for what is said. */
export function createIdentity({
  roles = [ADMIN],
  restrictions = [],
  ...said
}: Partial<Identity> & {
  readonly roles?: readonly Role[];
  readonly restrictions?: readonly Restriction[];
} = {}): Identity {
  const grants = new Grants(roles, restrictions);
  return { owner: "somebody", token: "local", chain: [], source: "127.0.0.1", grants, ...said };
}

/** Somebody whose only role has these permissions. */
export function createCaller(...permissions: readonly Permission[]): Identity {
  return createIdentity({ roles: [createRole({ permissions: new Set(permissions) })] });
}
