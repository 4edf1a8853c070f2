import { hostname } from "node:os";
import { formatInvite, type Invite } from "../../../protocol/invite.ts";
import { AppError } from "../../../protocol/error.ts";
import { formatDuration } from "../../../lib/duration.ts";
import { findServer } from "../../control.ts";
import { isLoopback } from "../../listen.ts";
import { readAccount } from "../../machine/users.ts";
import { INVITE_LIFE } from "../invites.ts";
import { findReachability } from "../reachability.ts";
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
      description:
        "Where the server is reached from there, by a name that it knows (serve --name); may be repeated (default: where it listens)",
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
    const user = toUser(flags, (await readAccount(signal)).name);
    const life = toLifetime(flags, "expires") ?? INVITE_LIFE;
    if (life > MAX_LIFE) throw new AppError("invalid_input", "Cannot invite for so long: at most 7d");
    const lifetime = toLifetime(flags, "token-expires") ?? config.auth.tokenLifetime;
    const running = await findServer(config.state, signal);
    const given = flags["url"];
    const { urls, pin } = await findReachability(config, running?.status, {
      urls: Array.isArray(given) ? given.map(checkUrl) : undefined,
      isUnpinned: flags["unpinned"] === true,
    });
    using store = openStore(config);
    const roles = toRoles(flags, config, store.users.find(user)?.roles);
    const secret = store.invites.create({ user, roles, life, lifetime });
    store.settle();
    const name = toHostName(toText(flags, "name"));
    const line = formatInvite({ name, urls: [...urls], ...(pin && { pin }), secret });
    note(
      `Whoever has this line becomes user ${user}, as ${roles.join(" and ")}, once, within ${formatDuration(life)}.`,
    );
    note(
      `The server is reached at ${urls.join(" or ")}.${urls.every(isLocal) ? " Only this machine can: see --listen." : ""}`,
    );
    note(`On the other machine: farhand join ${urls.every(isProvable) ? "" : "--insecure "}LINE`);
    print(flags["json"] ? JSON.stringify({ invite: line, user, roles, urls, ...(pin && { pin }) }) : line);
  },
};

function checkUrl(text: string): string {
  const { protocol, username, password } = URL.parse(text) ?? {};
  if ((protocol === "https:" || protocol === "http:") && username === "" && password === "") return text;
  throw new AppError("invalid_input", `Cannot use --url "${text}": write it as https://host:port`);
}

/** Whether a client tells the secret there without being told that it may. */
function isProvable(url: string): boolean {
  return url.startsWith("https:") || isLocal(url);
}

function isLocal(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && isLoopback(hostname.replace(/^\[|\]$/g, ""));
}

function toHostName(given: string | undefined): Invite["name"] {
  const name = given ?? hostname().split(".", 1)[0] ?? "";
  if (/^[A-Za-z0-9][\w.-]{0,62}$/.test(name)) return name;
  if (given === undefined) return "farhand";
  throw new AppError("invalid_input", `Cannot use --name "${name}": write letters, digits and ._-`);
}
