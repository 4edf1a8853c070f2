import { listCommands } from "../../../commands/index.ts";
import { align } from "../../../commands/table.ts";
import { formatDuration } from "../../../lib/duration.ts";
import { escapeControls } from "../../../lib/escape.ts";
import { formatSize } from "../../../lib/size.ts";
import { AppError } from "../../../protocol/error.ts";
import type { Flags } from "../../flags.ts";
import type { ExtensionSettings } from "../../extensions/settings.ts";
import { matchesAny } from "../pattern.ts";
import { allowsCommand, type Role } from "../role.ts";
import { type Action, getName } from "./action.ts";

const json = { json: { type: "boolean", description: "Print one JSON value" } } as const;

const list: Action = {
  description: "List the roles that there are, the built-in ones as the configuration has them",
  args: json,
  examples: [["farhandd role list --config /etc/farhand.toml", "as a server with that file has them"]],
  async run(flags, { roles }, { print }) {
    const all = [...roles.values()];
    if (flags["json"]) return print(JSON.stringify(all.map(toJson)));
    const rows = all.map((role) => [role.name, [...role.permissions].join(" ") || "nothing here"]);
    print(align([["NAME", "PERMISSIONS"], ...rows]).join("\n"));
  },
};

const show: Action = {
  description: "Show what a role allows on this server, command by command",
  args: { name: { type: "positional", valueHint: "name", description: "The role" }, ...json },
  examples: [["farhandd role show viewer", "what somebody may do who is one"]],
  async run(flags, { roles, extensions }, { print }) {
    const role = getRole(flags, roles);
    if (flags["json"]) return print(JSON.stringify(toJson(role)));
    const allowed = [...listAllowed(role), ...listOwn(role, extensions)];
    const commands = allowed.map(({ name, summary }) => [
      `  ${escapeControls(name)}`,
      escapeControls(summary),
    ]);
    const lines = commands.length === 0 ? ["  no command"] : align(commands);
    print([`role ${role.name}: ${toTerms(role).join("; ")}`, ...lines].join("\n"));
  },
};

/** What can be done with roles: they are looked at here, and written in the configuration. */
export const roleActions = { list, show } satisfies Record<string, Action>;

function getRole(flags: Flags, roles: ReadonlyMap<string, Role>): Role {
  const name = getName(flags, "role");
  const role = roles.get(name);
  if (role !== undefined) return role;
  const known = [...roles.keys()].join(", ");
  throw new AppError("not_found", `Cannot show role "${name}": there are ${known}`);
}

function listAllowed(role: Role) {
  return listCommands().filter(
    ({ name, permission }) => role.permissions.has(permission) && allowsCommand(role, name),
  );
}

/** Commands of the operator's own: programs of the configuration, and whatever is named that may be a module's. */
function listOwn(role: Role, { programs }: ExtensionSettings): readonly { name: string; summary: string }[] {
  const known = Object.entries(programs).flatMap(([name, { summary, permission = "exec" }]) =>
    role.permissions.has(permission) && allowsCommand(role, name) ? [{ name, summary }] : [],
  );
  const names = [...listCommands().map(({ name }) => name), ...Object.keys(programs)];
  const others = (role.commands ?? []).filter((glob) => !names.some((name) => matchesAny([glob], name)));
  return [
    ...known,
    ...others.map((name) => ({ name, summary: "if a module of the server's has such a command" })),
  ];
}

function toTerms({ permissions, hosts, roots, runAs, environment, seesAllJobs, limits }: Role): string[] {
  if (permissions.size === 0)
    return [`counts on other servers only (${hosts?.map(escapeControls).join(", ")})`];
  const { jobs, outputBytes, time, memoryBytes, processes } = limits;
  const bounds = [
    jobs === undefined ? [] : `${jobs} at once`,
    outputBytes === undefined ? [] : `${formatSize(outputBytes)} of output`,
    time === undefined ? [] : formatDuration(time),
    memoryBytes === undefined ? [] : `${formatSize(memoryBytes)} of memory`,
    processes === undefined ? [] : `${processes} processes`,
  ].flat();
  return [
    seesAllJobs ? "sees everybody's jobs" : "sees its own jobs",
    roots === undefined
      ? []
      : roots.length === 0
        ? "no files"
        : `in ${roots.map(escapeControls).join(" or ")}`,
    runAs === undefined ? [] : `as user ${runAs}`,
    environment === undefined ? [] : `sets ${environment.map(escapeControls).join(", ") || "no variables"}`,
    bounds.length === 0 ? [] : `jobs of at most ${bounds.join(", ")}`,
  ].flat();
}

function toJson(role: Role) {
  return {
    ...role,
    permissions: [...role.permissions],
    allowed: listAllowed(role).map(({ name }) => name),
  };
}
