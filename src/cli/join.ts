import { HostBook } from "../client/host-book.ts";
import { isExposed, parseHost } from "../client/host.ts";
import { join as joinServer } from "../client/join.ts";
import { retry } from "../client/retry.ts";
import { defaultConfigHome } from "../lib/config-home.ts";
import { parseInvite } from "../protocol/invite.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, print, toExposure } from "./context.ts";
import { checkName, describeTrust, findCa, toClientCertificate } from "./known-host.ts";
import { readInput } from "./prompt.ts";
import type { Verb } from "./verb.ts";

/** Characters of an invitation, with room. */
const MAX_LINE = 8_192;

const args = {
  line: {
    type: "positional",
    required: true,
    description: "the line that farhandd invite printed (-: from stdin)",
  },
  name: {
    type: "string",
    valueHint: "name",
    description: "What the host is called from now on (default: as the invitation says)",
  },
  replace: { type: "boolean", description: "Replace the host that is called so" },
} as const satisfies ArgSpecs;

/** Trades an invitation for a token, and keeps it with the host: all of it, or nothing. */
export const join: Verb = {
  summary: "Join a server by the line of an invitation",
  args,
  examples: [
    [
      "farhand join fhi_eyJuYW1lIjoid2ViMSIs…",
      "address, key and a token of one's own, in one step; the line works once",
    ],
    ["farhand join - < line", "the line from stdin, so that nobody sees it in a list of processes"],
    ["farhand join fhi_… --name build", "under another name than it proposes"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const line = values.text("line") ?? "";
  const invite = parseInvite(line === "-" ? await readInput(context, MAX_LINE) : line);
  const name = checkName(values.text("name") ?? invite.name);
  const replaces = values.flag("replace");
  const book = new HostBook(defaultConfigHome(context.env));
  // While the line is still good: what cannot be kept must not be asked for.
  book.check(name, { replaces });
  const { globals, signal } = context;
  const options = {
    insecure: globals.insecure,
    ca: findCa(context),
    client: toClientCertificate(globals),
    signal,
  };
  const { host, admission } = await retry(() => joinServer(invite, options), {
    window: globals.connectTimeout ?? 0,
    signal,
  });
  book.add(name, host, { token: admission.token, replaces });
  const address = parseHost(host.url, undefined, host);
  if (isExposed(address)) complain(context, toExposure(address));
  const { token: _token, ...told } = admission;
  print(
    context,
    { name, host, user: told.user, token: told.name, expires: told.expires },
    () => `Joined ${name} (${host.url}, known by ${describeTrust(host)}) as ${admission.user}`,
  );
  return 0;
}
