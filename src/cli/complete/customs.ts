import type { Environment } from "../../client/config.ts";
import type { Session } from "../../client/session.ts";
import { listDefinitions } from "../custom/definition.ts";
import { isOwn } from "../custom/own.ts";
import { isName } from "../custom/lookup.ts";
import { toVerb } from "../custom/verb.ts";
import type { Globals } from "../globals.ts";
import type { Verb } from "../verb.ts";
import type { Candidate } from "./candidate.ts";
import { connect, toPlace } from "./place.ts";
import { withPatience } from "./patience.ts";

/** Milliseconds for which the first word of a line waits for what only a server knows: what we know ourselves is soon there. */
const PATIENCE = 500;

/** Commands that only a server knows, as far as it tells. */
export interface Customs {
  /** Undefined where it has none of that name. Throws as asking does. */
  find(path: readonly string[]): Promise<Verb | undefined>;
  /** None where it cannot be asked. */
  list(): Promise<readonly Candidate[]>;
}

/** What a server tells. `open`: gives a session for a moment; `signal`: how long whoever completes is ready to wait. */
export function createCustoms(open: (signal: AbortSignal) => Promise<Session>, signal: AbortSignal): Customs {
  const ask = async (names: readonly string[], soon: AbortSignal) => {
    await using session = await open(soon);
    return await listDefinitions(session, soon, names);
  };
  return {
    async find([word = "", ...others]) {
      if (others.length > 0 || !isName(word)) return undefined;
      const [definition] = await ask([word.replaceAll("_", "-")], signal);
      return definition && toVerb(definition);
    },
    list: () =>
      withPatience(PATIENCE, async (soon) =>
        (await ask([], soon))
          .filter(isOwn)
          .map(({ name, summary }) => ({ value: name, description: summary })),
      ).catch(() => []),
  };
}

/** What the server that the options name has besides, if it is there and says so soon. */
export async function listCustoms(
  globals: Globals,
  env: Environment,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const open = (soon: AbortSignal) => connect(toPlace(new Map(), globals), env, soon);
  return await createCustoms(open, signal).list();
}
