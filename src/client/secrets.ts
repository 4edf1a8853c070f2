import { SECRETS_SINCE } from "../protocol/hello.ts";
import type { JobInput } from "./launch.ts";
import { AppError } from "../protocol/error.ts";
import type { Session } from "./session.ts";

/** Throws `unsupported_version` where secrets are to be passed to a server that would leave them out. It waits for nothing else. */
export async function checkSecrets(
  { welcome }: Pick<Session, "welcome">,
  { secrets }: JobInput,
): Promise<void> {
  if (secrets === undefined || Object.keys(secrets).length === 0) return;
  if ((await welcome).version.minor >= SECRETS_SINCE) return;
  throw new AppError(
    "unsupported_version",
    "Cannot pass secrets: this server is too old to know them; upgrade it",
  );
}
