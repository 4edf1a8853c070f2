import { resolve } from "node:path";
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
  module: v.optional(v.pipe(v.string(), v.nonEmpty())),
});

/** How somebody is let in. */
export interface AuthSettings {
  /** Milliseconds for which a token is good of which nothing else is said; infinite for ever. */
  readonly tokenLifetime: number;
  /** The same of one that a password was traded for. */
  readonly loginLifetime: number;
  /** The absolute path of what decides who may log in, where that is not the users' table. */
  readonly module: string | undefined;
}

/** What the file in a directory says, over the defaults. */
export function toAuthSettings(directory: string, table: v.InferOutput<typeof AuthTable> = {}): AuthSettings {
  return {
    tokenLifetime: table.token_expires ?? TOKEN_LIFETIME,
    loginLifetime: table.login_expires ?? LOGIN_LIFETIME,
    module: table.module === undefined ? undefined : resolve(directory, table.module),
  };
}
