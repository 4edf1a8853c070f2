import * as v from "valibot";
import { toQuantity } from "../quantity.ts";
import { parseLifetime } from "./lifetime.ts";

/** Milliseconds that a token is good unless told otherwise: long enough for a machine, short enough to be rotated by habit. */
const TOKEN_LIFETIME = 90 * 86_400_000;
/** The same of one that a password was traded for, which a person can do again. */
const LOGIN_LIFETIME = 30 * 86_400_000;

/** What the configuration file may say of who is let in. */
export const AuthTable = v.strictObject({
  token_expires: v.optional(v.pipe(v.string(), toQuantity(parseLifetime))),
  login_expires: v.optional(v.pipe(v.string(), toQuantity(parseLifetime))),
});

/** How somebody is let in. */
export interface AuthSettings {
  /** Milliseconds for which a token is good of which nothing else is said; infinite for ever. */
  readonly tokenLifetime: number;
  /** The same of one that a password was traded for. */
  readonly loginLifetime: number;
}

/** What the file says, over the defaults. */
export function toAuthSettings(table: v.InferOutput<typeof AuthTable> = {}): AuthSettings {
  return {
    tokenLifetime: table.token_expires ?? TOKEN_LIFETIME,
    loginLifetime: table.login_expires ?? LOGIN_LIFETIME,
  };
}
