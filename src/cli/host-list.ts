import { findHostToken } from "../client/hosts.ts";
import { align } from "../commands/table.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import { describeTrust, openHosts } from "./known-host.ts";
import type { Verb } from "./verb.ts";

/** Lists the hosts that are kept; never their tokens. */
export const hostList: Verb = {
  summary: "List the hosts that are kept",
  args: {},
  examples: [
    ["farhand host list", "names, addresses, what each is known by, and whether there is a token"],
    ["farhand host list --json | jq -r '.hosts[].name'", "the names alone"],
  ],
  run,
};

async function run(_values: Arguments, context: Context): Promise<number> {
  const { home, hosts } = openHosts(context);
  const listed = [...hosts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, host]) => ({ name, ...host, hasToken: findHostToken(home, name) !== undefined }));
  const rows = listed.map((host) => [host.name, host.url, host.hasToken ? "yes" : "no", describeTrust(host)]);
  print(context, { hosts: listed }, () =>
    rows.length === 0
      ? "No hosts are kept: add one with farhand host add, or farhand join"
      : align([["NAME", "ADDRESS", "TOKEN", "KNOWN BY"], ...rows]).join("\n"),
  );
  return 0;
}
