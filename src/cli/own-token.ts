import { findTarget } from "../client/config.ts";
import { readToken } from "../client/narrow.ts";
import { AppError } from "../protocol/error.ts";
import type { Token } from "../protocol/token.ts";
import { type Context, toPlace } from "./context.ts";

/** The token that a verb would be called with, though nothing is called. Throws `invalid_input` where there is none. */
export function getOwnToken(context: Context, what: string): Token {
  const { env, token } = context;
  // Which host it is for need not be known then, nor be there.
  const given = token ?? (env["FARHAND_TOKEN"] || undefined);
  const text = given ?? findTarget(toPlace(context), env).token;
  if (text !== undefined) return readToken(text, what);
  throw new AppError(
    "invalid_input",
    `Cannot ${what} a token: there is none for that host; log in there, set FARHAND_TOKEN, or name another host with -H`,
  );
}
