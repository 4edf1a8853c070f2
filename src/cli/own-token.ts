import { findTarget } from "../client/config.ts";
import { readToken } from "../client/narrow.ts";
import { AppError } from "../protocol/error.ts";
import type { Token } from "../protocol/token.ts";
import type { Context } from "./context.ts";

/** The token that a verb would be called with, though nothing is called. Throws `invalid_input` where there is none. */
export function getOwnToken({ globals, env }: Context, what: string): Token {
  const given = globals.host === undefined ? env["FARHAND_TOKEN"] || undefined : undefined;
  const text = given ?? findTarget(globals, env).token;
  if (text !== undefined) return readToken(text, what);
  throw new AppError(
    "invalid_input",
    `Cannot ${what} a token: there is none for that host; set FARHAND_TOKEN, or name another host with -H`,
  );
}
