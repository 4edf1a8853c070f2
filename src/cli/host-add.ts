import { HostBook } from "../client/host-book.ts";
import { isExposed, isSecure, parseHost } from "../client/host.ts";
import type { StoredHost } from "../client/hosts.ts";
import { limited } from "../client/limited.ts";
import { ask } from "../client/request.ts";
import type { Trust } from "../client/trust.ts";
import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { parsePin } from "../protocol/pin.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { confirmKey } from "./confirm-key.ts";
import { complain, type Context, print, toExposure } from "./context.ts";
import { checkName, describeTrust, findCa, openHosts, toClientCertificate } from "./known-host.ts";
import type { Verb } from "./verb.ts";

/** Milliseconds in which a host has to show its certificate. */
const LOOK_TIMEOUT = 10_000;

const args = {
  name: { type: "positional", required: true, description: "what it is called from now on" },
  address: { type: "positional", required: true, description: "host, host:port, URL or unix:/path" },
  pin: {
    type: "string",
    valueHint: "sha256:…",
    description: "Know it by its key, as farhandd fingerprint there prints it",
  },
  replace: { type: "boolean", description: "Replace the host that is called so" },
} as const satisfies ArgSpecs;

/** Keeps a host under a name. Whom to trust is looked at and asked, unless it is said. */
export const hostAdd: Verb = {
  summary: "Keep a host under a name",
  args,
  examples: [
    [
      "farhand host add web1 web1.lab",
      "shows the fingerprint, and asks; not where this machine's authorities vouch for it",
    ],
    ["farhand host add web1 10.0.0.3 --pin sha256:47DEQ…", "asks nothing: only who has this key is trusted"],
    ["farhand host add web1 web1.lab --ca lab-ca.pem", "what this authority vouches for"],
    ["farhand host add web1 web1.lab --token-file t", "with a token that one has"],
    [
      "farhand host add dev http://10.0.0.4:9922 --insecure",
      "without TLS: everybody on the way reads all of it",
    ],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const name = checkName(values.text("name") ?? "");
  const replaces = values.flag("replace");
  const { home, hosts } = openHosts(context);
  if (hosts.has(name) && !replaces)
    throw new AppError(
      "already_exists",
      `Cannot add host "${name}": there is one called so; replace it with --replace`,
    );
  const { insecure } = context.globals;
  const address = parseHost(values.text("address") ?? "", undefined, { insecure });
  const client = toClientCertificate(context.globals);
  const draft = { url: address.url, ...(insecure && { insecure }), ...(client && { client }) };
  const host: StoredHost = { ...draft, trust: await findTrust(draft, values, context) };
  new HostBook(home).add(name, host, { token: context.token, replaces });
  if (isExposed(address)) complain(context, toExposure(address));
  const advice = context.token === undefined ? `; log in with farhand login ${name}` : "";
  print(context, { name, ...host }, () => `${name} is ${host.url}, known by ${describeTrust(host)}${advice}`);
  return 0;
}

/** Whom the options say to trust; else this machine's authorities, or a key that a person has looked at. */
async function findTrust(
  draft: Omit<StoredHost, "trust">,
  values: Arguments,
  context: Context,
): Promise<Trust> {
  const pin = values.text("pin");
  const ca = findCa(context);
  if (pin !== undefined && ca !== undefined)
    throw new AppError("invalid_input", "Cannot use --pin with --ca: give one of them");
  const host = parseHost(draft.url, undefined, draft);
  if ((pin ?? ca) !== undefined && !isSecure(host))
    throw new AppError(
      "invalid_input",
      `Cannot know ${host.url} by ${pin === undefined ? "an authority" : "a key"}: it has no TLS; write the address as https://…`,
    );
  if (pin !== undefined) return { type: "pin", pin: parsePin(pin, "--pin") };
  if (ca !== undefined) return { type: "ca", file: ca };
  if (!isSecure(host)) return { type: "system" };
  const target = { host, token: undefined, isLocal: false, client: draft.client };
  try {
    await limited(target, LOOK_TIMEOUT, context.signal, (stop) =>
      abortable(ask(target, "/healthz", { signal: stop }), stop),
    );
    return { type: "system" };
  } catch (error) {
    return await confirmKey(error, host.url, context);
  }
}
