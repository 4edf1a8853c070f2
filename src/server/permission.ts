import type { Permission } from "../commands/define.ts";
import { AppError } from "../protocol/error.ts";

/** What a caller may do. Nothing is allowed that is not in it. */
export type Permissions = ReadonlySet<Permission>;

/** Throws `forbidden` unless one of these is granted; it names the first. `what`: what is refused, as in `call "kill"`. */
export function demand(
  granted: Permissions,
  needed: readonly [Permission, ...Permission[]],
  what: string,
): void {
  if (needed.some((permission) => granted.has(permission))) return;
  const [permission] = needed;
  throw new AppError("forbidden", `Cannot ${what}: you lack the permission "${permission}"`, {
    details: { permission },
  });
}
