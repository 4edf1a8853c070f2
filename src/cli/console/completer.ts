import type { Session } from "../../client/session.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Question } from "./editor.ts";

export interface CompleterOptions {
  readonly catalogue: Catalogue;
  readonly lend: (signal: AbortSignal) => Promise<Session>;
}

export function createCompleter(_options: CompleterOptions): NonNullable<Question["complete"]> {
  return async (before) => [[], before];
}
