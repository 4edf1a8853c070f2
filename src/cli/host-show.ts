import { findHostToken } from "../client/hosts.ts";
import { align } from "../commands/table.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import { describeTrust, getKnownHost } from "./known-host.ts";
import type { Verb } from "./verb.ts";

/** Shows all that is kept of a host, except its token. */
export const hostShow: Verb = {
  summary: "Show what is kept of a host",
  args: { name: { type: "positional", description: "the host (default: that of -H, or FARHAND_HOST)" } },
  examples: [
    ["farhand host show web1", "its address, what it is known by, and until when its certificate is valid"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { home, ...host } = getKnownHost(values.text("name"), context);
  const hasToken = findHostToken(home, host.name) !== undefined;
  const seen = await findSeen(host.trust);
  const rows = [
    ["name", host.name],
    ["address", host.url],
    ["known by", describeTrust(host)],
    ...(seen === undefined
      ? []
      : [["certificate", `valid to ${seen.until.slice(0, 10)}, for ${seen.names.join(", ")}`]]),
    ...(host.client === undefined ? [] : [["our certificate", host.client.certificate]]),
    ["user", host.user ?? "unknown"],
    ["token", hasToken ? "yes" : "no"],
  ];
  print(context, { ...host, hasToken, ...(seen && { certificate: seen }) }, () => align(rows).join("\n"));
  return 0;
}

/** What the certificate says that was seen last; undefined where none was. */
async function findSeen(trust: Awaited<ReturnType<typeof getKnownHost>>["trust"]) {
  if (trust.type !== "pin" || trust.certificate === undefined) return undefined;
  const { toCertificate } = await import("../client/certificate.ts");
  const { names, from, until } = toCertificate(Buffer.from(trust.certificate));
  return { names, from: from.toISOString(), until: until.toISOString() };
}
