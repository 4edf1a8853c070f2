import { hostname, userInfo } from "node:os";
import { formatInvite, type Invite } from "../../../protocol/invite.ts";
import { AppError } from "../../../protocol/error.ts";
import { formatDuration } from "../../../lib/duration.ts";
import type { Pin } from "../../../protocol/pin.ts";
import type { ServerStatus } from "../../app.ts";
import type { ServerConfig } from "../../config.ts";
import { findServer } from "../../control.ts";
import { formatAddress } from "../../listen.ts";
import { toUrls } from "../addresses.ts";
import { INVITE_LIFE } from "../invites.ts";
import { type Action, openStore, role, toLifetime, toRoles, toText, toUser } from "./action.ts";

/** Milliseconds for which an invitation may be good at most: whoever finds it later finds nothing. */
const MAX_LIFE = 7 * 86_400_000;

/** `farhandd invite`. */
export const invite: Action = {
  description: "Print one line by which another machine joins: good once, for ten minutes",
  args: {
    user: {
      type: "string",
      valueHint: "user",
      description: "Whose the token will be (default: your own name)",
    },
    ...role,
    expires: {
      type: "string",
      valueHint: "time",
      description: "How long the line is good (default 10m, at most 7d)",
    },
    "token-expires": {
      type: "string",
      valueHint: "time",
      description: "How long the token is good, or never (default 90d, auth.token_expires)",
    },
    url: {
      type: "string",
      valueHint: "url",
      description: "Where the server is reached from there; may be repeated (default: where it listens)",
    },
    name: {
      type: "string",
      valueHint: "name",
      description: "What it calls the server (default: the machine's name)",
    },
    unpinned: {
      type: "boolean",
      description: "Leave out the fingerprint: what answers there is a gateway that authorities vouch for",
    },
    json: { type: "boolean", description: "Print one JSON value" },
  },
  examples: [
    ["farhandd invite --user alice", "then, on Alice's machine: farhand join fhi_…"],
    ["farhandd invite --url https://web1.example:9922", "where it is reached by another address"],
  ],
  async run(flags, config, { print, note, signal }) {
    const user = toUser(flags, userInfo().username);
    const life = toLifetime(flags, "expires") ?? INVITE_LIFE;
    if (life > MAX_LIFE) throw new AppError("invalid_input", "Cannot invite for so long: at most 7d");
    const lifetime = toLifetime(flags, "token-expires") ?? config.auth.tokenLifetime;
    const running = await findServer(config.state, signal);
    const listening = running?.status.listen ?? (config.listen ?? []).map(formatAddress);
    const given = flags["url"];
    const urls = Array.isArray(given) ? given.map(checkUrl) : toUrls(listening);
    using store = openStore(config);
    const roles = toRoles(flags, config, store.users.find(user)?.roles);
    const secret = store.invites.create({ user, roles, life, lifetime });
    store.settle();
    const isTls = flags["unpinned"] !== true && urls.some((url) => url.startsWith("https:"));
    const pin = isTls ? await findInvitedPin(config, running?.status) : undefined;
    const name = toHostName(toText(flags, "name"));
    const line = formatInvite({ name, urls: [...urls], ...(pin && { pin }), secret });
    note(
      `Whoever has this line becomes user ${user}, as ${roles.join(" and ")}, once, within ${formatDuration(life)}.`,
    );
    note(
      `The server is reached at ${urls.join(" or ")}.${urls.every(isLocal) ? " Only this machine can: see --listen." : ""}`,
    );
    note("On the other machine: farhand join LINE");
    print(flags["json"] ? JSON.stringify({ invite: line, user, roles, urls }) : line);
  },
};

/** By what the server is to be known; undefined where authorities vouch for its certificate, whose key may change with it. */
async function findInvitedPin(
  config: ServerConfig,
  status: ServerStatus | undefined,
): Promise<Pin | undefined> {
  if (status !== undefined) return status.tls?.isSelfSigned === true ? status.tls.pin : undefined;
  const { cert, key } = config.tls;
  const [{ readPair }, { findPin }] = await Promise.all([
    import("../../tls/pair.ts"),
    import("../../tls/fingerprint.ts"),
  ]);
  if (cert === undefined || key === undefined) return await findPin(config, undefined);
  const { leaf, pin } = readPair(cert, key, new Date());
  return leaf.subject === leaf.issuer ? pin : undefined;
}

function checkUrl(text: string): string {
  const { protocol, username, password } = URL.parse(text) ?? {};
  if ((protocol === "https:" || protocol === "http:") && username === "" && password === "") return text;
  throw new AppError("invalid_input", `Cannot use --url "${text}": write it as https://host:port`);
}

function isLocal(url: string): boolean {
  return /^http:\/\/(?:127\.|localhost|\[::1\])/.test(url);
}

function toHostName(given: string | undefined): Invite["name"] {
  const name = given ?? hostname().split(".", 1)[0] ?? "";
  if (/^[A-Za-z0-9][\w.-]{0,62}$/.test(name)) return name;
  if (given === undefined) return "farhand";
  throw new AppError("invalid_input", `Cannot use --name "${name}": write letters, digits and ._-`);
}
