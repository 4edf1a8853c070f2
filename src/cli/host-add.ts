import { resolve } from "node:path";
import * as v from "valibot";
import { HostBook } from "../client/host-book.ts";
import { isExposed, isSecure, parseHost } from "../client/host.ts";
import type { StoredHost } from "../client/hosts.ts";
import { ask as request } from "../client/request.ts";
import type { Trust } from "../client/trust.ts";
import { abortable } from "../lib/abort.ts";
import { escapeControls } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { Pin } from "../protocol/pin.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, print, toExposure } from "./context.ts";
import { checkName, describeTrust, openHosts, toClientCertificate } from "./known-host.ts";
import { ask } from "./prompt.ts";
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
  const { ca = context.env["FARHAND_CA"] || undefined } = context.globals;
  if (pin !== undefined && ca !== undefined)
    throw new AppError("invalid_input", "Cannot use --pin with --ca: give one of them");
  const host = parseHost(draft.url, undefined, draft);
  if ((pin ?? ca) !== undefined && !isSecure(host))
    throw new AppError(
      "invalid_input",
      `Cannot know ${host.url} by ${pin === undefined ? "an authority" : "a key"}: it has no TLS; write the address as https://…`,
    );
  if (pin !== undefined) return { type: "pin", pin: toPin(pin) };
  if (ca !== undefined) return { type: "ca", file: resolve(ca) };
  if (!isSecure(host)) return { type: "system" };
  const limit = AbortSignal.timeout(LOOK_TIMEOUT);
  const signal = AbortSignal.any([context.signal, limit]);
  try {
    const target = { host, token: undefined, isLocal: false, client: draft.client };
    await abortable(request(target, "/healthz", { signal }), signal);
    return { type: "system" };
  } catch (error) {
    if (limit.aborted && !context.signal.aborted)
      throw new AppError("timed_out", `Cannot connect to ${host.url}: no answer within 10 s`, {
        cause: error,
      });
    return await confirm(error, host.url, context);
  }
}

/** What is shown to a person of a certificate that nobody vouches for. */
const Shown = v.object({
  reason: v.picklist(["self_signed", "unknown_authority", "wrong_name"]),
  pin: Pin,
  names: v.array(v.string()),
  issuer: v.string(),
  from: v.string(),
  until: v.string(),
});

const REASONS = {
  self_signed: "its certificate is self-signed",
  unknown_authority: "no authority that this machine trusts has signed its certificate",
  wrong_name: "its certificate is for other names",
};

/** Asks whether the key that was shown is the host's. Throws the error where that is no question, or nobody can be asked. */
async function confirm(error: unknown, url: string, context: Context): Promise<Trust> {
  const shown =
    error instanceof AppError && error.code === "untrusted" ? v.safeParse(Shown, error.details) : undefined;
  if (shown?.success !== true) throw error;
  const { reason, pin, names, from, until } = shown.output;
  const terminal = await context.localTerminal();
  if (terminal === undefined)
    throw new AppError(
      "untrusted",
      `Cannot add ${url}: ${REASONS[reason]}, and nobody can be asked here whether it is the right one; ` +
        `if farhandd fingerprint there prints ${pin}, add --pin ${pin}`,
      { details: shown.output, cause: error },
    );
  const lines = [
    `Nobody vouches for ${url}: ${REASONS[reason]}.`,
    `  fingerprint  ${pin}`,
    `  names        ${names.join(", ")}`,
    `  valid        ${from.slice(0, 10)} to ${until.slice(0, 10)}`,
    "Compare it with what farhandd fingerprint prints there.",
  ];
  for (const line of lines) context.sinks.stderr.writeLine(escapeControls(line));
  const answer = await ask(terminal, "Is it the right one (yes, no, or the fingerprint)? ", context);
  if (answer.trim().toLowerCase() === "yes" || answer.trim() === pin) return { type: "pin", pin };
  throw new AppError("cancelled", `Cannot add ${url}: its key was not confirmed`);
}

function toPin(text: string): Pin {
  const pin = v.safeParse(Pin, text);
  if (pin.success) return pin.output;
  throw new AppError("invalid_input", `Cannot use --pin "${text}": it ${pin.issues[0].message}`);
}
