import { AppError } from "../../protocol/error.ts";
import { CUSTOM_SINCE, PROTOCOL_VERSION } from "../../protocol/hello.ts";

/**
 * Refuses a client that would take a value for damage, since it knows JSON alone. `minor`: the minor version that it speaks; `what`:
 * what it wants, in a sentence. Throws `unsupported_version`.
 */
export function demandValues(minor: number, what: string): void {
  if (minor >= CUSTOM_SINCE) return;
  const { major } = PROTOCOL_VERSION;
  throw new AppError(
    "unsupported_version",
    `Cannot ${what}: it says values, for which the client has to speak version ${major}.${CUSTOM_SINCE} of the protocol, ` +
      `and it speaks ${major}.${minor}; update the client`,
  );
}
