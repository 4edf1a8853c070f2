import { HostBook } from "../client/host-book.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import { getKnownHost } from "./known-host.ts";
import type { Verb } from "./verb.ts";

/** Forgets the token that is kept with a host. On the server it stays valid until it is revoked there, or ends. */
export const logout: Verb = {
  summary: "Forget the token that is kept with a host",
  args: { name: { type: "positional", description: "the host (default: that of -H, or FARHAND_HOST)" } },
  examples: [
    ["farhand logout web1", "the host stays known; on the server, farhandd token revoke ends the token"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { home, name } = getKnownHost(values.text("name"), context);
  const had = new HostBook(home).removeToken(name);
  print(context, { host: name, removed: had }, () =>
    had ? `Forgot the token for ${name}` : `No token is kept for ${name}`,
  );
  return 0;
}
