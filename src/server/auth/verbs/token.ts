import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { align } from "../../../commands/table.ts";
import { toErrorCode } from "../../../lib/error-code.ts";
import { count } from "../../../lib/count.ts";
import { AppError } from "../../../protocol/error.ts";
import type { Flags } from "../../flags.ts";
import { parseName } from "../name.ts";
import type { Minted, StoredToken } from "../tokens.ts";
import {
  type Action,
  type Console,
  getName,
  openStore,
  role,
  toLifetime,
  toMoment,
  toRoles,
  toText,
  toUser,
} from "./action.ts";

const json = { json: { type: "boolean", description: "Print one JSON value" } } as const;
const made = {
  expires: {
    type: "string",
    valueHint: "time",
    description: "How long it is good, such as 30d, or never (default 90d, auth.token_expires)",
  },
  out: { type: "string", valueHint: "file", description: "Write it to a new file of mode 0600 instead" },
  ...json,
} as const;
const ref = (description: string) =>
  ({ name: { type: "positional", valueHint: "name|id", description } }) as const;

const create: Action = {
  description: "Make a token, and print it: it cannot be shown again",
  args: {
    name: { type: "positional", valueHint: "name", description: "What it is listed and revoked by" },
    user: {
      type: "string",
      valueHint: "user",
      description: "Whose it is: jobs and workspaces are his (default: one of the token's own name)",
    },
    ...role,
    ...made,
  },
  examples: [
    ["farhandd token create ci --role operator --expires 30d", "for a machine that runs programs"],
    ["farhandd token create board --role viewer --out board.token", "into a file that only you can read"],
  ],
  async run(flags, config, console) {
    const name = parseName(getName(flags, "token"), "token");
    const user = toUser(flags, name);
    using store = openStore(config);
    const roles = toRoles(flags, config, store.users.find(user)?.roles);
    const lifetime = toLifetime(flags, "expires") ?? config.auth.tokenLifetime;
    hand(flags, console, () => store.tokens.create({ name, user, roles, origin: "create", lifetime }));
    store.settle();
  },
};

const rotate: Action = {
  description: "Give a token a new key under the same name; the old one ends at once, or after --overlap",
  args: {
    ...ref("The token"),
    overlap: {
      type: "string",
      valueHint: "time",
      description: "How long the old one is still good, such as 1h",
    },
    ...made,
    expires: {
      ...made.expires,
      description: "How long it is good, such as 30d, or never (default as long as the old one)",
    },
  },
  examples: [["farhandd token rotate ci --overlap 1h", "time to put the new one in its place"]],
  async run(flags, config, console) {
    using store = openStore(config);
    const overlap = toLifetime(flags, "overlap") ?? 0;
    if (!Number.isFinite(overlap))
      throw new AppError("invalid_input", "Cannot use --overlap never: the old token would not end");
    const lifetime = toLifetime(flags, "expires");
    hand(flags, console, () => store.tokens.rotate(getName(flags, "token"), lifetime, overlap));
    store.settle();
  },
};

const revoke: Action = {
  description: "End a token; who is connected with it is sent away within seconds, his jobs go on",
  args: { ...ref("The token"), ...json },
  examples: [["farhandd token revoke ci", "every token of that name"]],
  async run(flags, config, { print }) {
    using store = openStore(config);
    const ended = store.tokens.revoke(getName(flags, "token"));
    store.settle();
    const [first] = ended;
    print(
      flags["json"]
        ? JSON.stringify(ended.map(toShown))
        : `Revoked ${count(ended.length, "token")} named "${first?.name}", of user ${first?.user}`,
    );
  },
};

const list: Action = {
  description: "List tokens with their users, roles, ends, and last use",
  args: json,
  examples: [["farhandd token list --json", "for a program"]],
  async run(flags, config, { print }) {
    using store = openStore(config);
    const tokens = store.tokens.list();
    print(flags["json"] ? JSON.stringify(tokens.map(toShown)) : toTable(tokens));
  },
};

/** What can be done with tokens. */
export const tokenActions = { create, list, revoke, rotate } as const;

/** Makes a token and tells it, to whom it was asked for. A file that cannot be written leaves none behind that nobody has. */
function hand(flags: Flags, console: Console, make: () => Minted): void {
  const path = toText(flags, "out");
  if (path === undefined) return tell(flags, console, make());
  const file = openNew(path);
  try {
    const minted = make();
    // It is the server's already: what fails from here on leaves one that can be revoked by its name.
    writeSync(file, `${minted.text}\n`);
    fsyncSync(file);
    tell(flags, console, minted, path);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isThere = toErrorCode(error) === "EEXIST";
    const why = isThere ? "there is a file of that name; remove it, or choose another" : error.message;
    throw new AppError("invalid_input", `Cannot write the token to "${path}": ${why}`, { cause: error });
  }
}

function tell(flags: Flags, { print, note }: Console, { text, stored }: Minted, path?: string): void {
  const { id, name, user, roles, expires } = stored;
  const until = expires === null ? "for ever" : `until ${toMoment(expires)}`;
  note(`Token "${name}" (${id}) of user ${user}, as ${roles.join(" and ")}, ${until}`);
  if (path === undefined) note("It is shown only now: keep it in a file of mode 0600, or in FARHAND_TOKEN");
  if (flags["json"])
    print(JSON.stringify({ ...(path === undefined ? { token: text } : { file: path }), ...toShown(stored) }));
  else if (path === undefined) print(text);
  else note(`Written to ${path}`);
}

function toShown({ id, name, user, roles, origin, created, expires, used, source }: StoredToken) {
  return { id, name, user, roles, origin, created, expires, used, source };
}

function toTable(tokens: readonly StoredToken[]): string {
  if (tokens.length === 0) return "No tokens";
  const now = Date.now();
  const rows = tokens.map(({ id, name, user, roles, created, expires, used, source }) => [
    name,
    id,
    user,
    roles.join(","),
    toMoment(created),
    expires !== null && expires <= now ? "expired" : toMoment(expires),
    used === null ? "" : `${toMoment(used)} from ${source ?? ""}`,
  ]);
  const heading = ["NAME", "ID", "USER", "ROLES", "CREATED", "EXPIRES", "LAST USED"];
  return align([heading, ...rows]).join("\n");
}
