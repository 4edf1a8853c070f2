import { AppError } from "../protocol/error.ts";
import type { Restriction } from "../protocol/restriction.ts";
import { findToken, formatToken, narrowToken, type Token } from "../protocol/token.ts";

/**
 * A token, as it is written down, that may do less than another. It needs no server, and the server is told nothing of it;
 * ending the other one ends it too. Throws `invalid_input` for what is no token or no restriction, `too_many`.
 */
export function narrowText(text: string, restriction: Restriction): string {
  return formatToken(narrowToken(readToken(text, "narrow"), restriction));
}

/** Reads a token as it is written down. Throws `invalid_input`, which does not repeat it. */
export function readToken(text: string, what: string): Token {
  const token = findToken(text);
  if (token !== undefined) return token;
  throw new AppError(
    "invalid_input",
    `Cannot ${what} the token: it is none of Farhand's, or was cut or changed`,
  );
}
