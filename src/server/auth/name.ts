import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";

/** Whose the token of each start is: nobody else's name. */
export const LOCAL = "local";

/** What a user, or a token, may be called. */
export const AccountName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][\w.@-]{0,63}$/, "write at most 64 letters, digits and ._@-, a letter or digit first"),
  v.check((name) => name !== LOCAL, `"${LOCAL}" is reserved for this machine's own user`),
);

/** Reads a name; `what`: whose it is, such as `user`. Throws `invalid_input`. */
export function parseName(text: string, what: string): string {
  const parsed = v.safeParse(AccountName, text);
  if (parsed.success) return parsed.output;
  const shown = text.slice(0, 64);
  throw new AppError("invalid_input", `Cannot use ${what} "${shown}": ${parsed.issues[0].message}`);
}
