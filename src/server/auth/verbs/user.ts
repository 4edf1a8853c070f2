import { align } from "../../../commands/table.ts";
import { count } from "../../../lib/count.ts";
import { AppError } from "../../../protocol/error.ts";
import { parseName } from "../name.ts";
import { checkPassword, hashPassword } from "../passwords.ts";
import { type Action, type Console, getName, openStore, role, toMoment, toRoles } from "./action.ts";

const json = { json: { type: "boolean", description: "Print one JSON value" } } as const;
const named = {
  name: { type: "positional", valueHint: "name", description: "Letters, digits and ._@-" },
} as const;
const password = {
  "password-stdin": {
    type: "boolean",
    description:
      "Read the password from stdin instead of asking for it; a line break at its end is no part of it",
  },
} as const;

const add: Action = {
  description: "Let somebody log in with a password, which is asked for",
  args: { ...named, ...role, ...password },
  examples: [
    ["farhandd user add alice --role operator", "asks for the password, twice"],
    ["farhandd user add ci --password-stdin < secret", "takes it from a file"],
  ],
  async run(flags, config, console) {
    const name = parseName(getName(flags, "user"), "user");
    const roles = toRoles(flags, config);
    using store = openStore(config);
    if (store.users.find(name) !== undefined)
      throw new AppError(
        "already_exists",
        `Cannot add user "${name}": there is one; see farhandd user --help`,
      );
    store.users.add(name, await readHash(console, Boolean(flags["password-stdin"])), roles);
    store.settle();
    console.print(`User ${name} may log in, as ${roles.join(" and ")}`);
  },
};

const passwd: Action = {
  description: "Change a password; what it was traded for by logging in ends, made tokens stay",
  args: { ...named, ...password },
  examples: [["farhandd user passwd alice", "asks for the new one, twice"]],
  async run(flags, config, console) {
    const name = getName(flags, "user");
    using store = openStore(config);
    store.users.get(name);
    const ended = store.users.setHash(name, await readHash(console, Boolean(flags["password-stdin"])));
    store.settle();
    console.print(`The password of ${name} is changed; ${count(ended, "login")} ended`);
  },
};

const roles: Action = {
  description: "Change somebody's roles; a token of his has no more of them than he has",
  args: { ...named, ...role },
  examples: [["farhandd user roles alice --role viewer", "whatever her tokens say"]],
  async run(flags, config, { print }) {
    const name = getName(flags, "user");
    if (!Array.isArray(flags["role"]))
      throw new AppError("invalid_input", "Cannot change the roles: say with --role which he is to have");
    const wanted = toRoles(flags, config);
    using store = openStore(config);
    store.users.setRoles(name, wanted);
    store.settle();
    print(`User ${name} is ${wanted.join(" and ")}`);
  },
};

const remove: Action = {
  description: "Remove somebody with his tokens and invitations; his jobs go on",
  args: named,
  examples: [["farhandd user remove alice", "who is connected is sent away within seconds"]],
  async run(flags, config, { print }) {
    const name = getName(flags, "user");
    using store = openStore(config);
    const ended = store.users.remove(name);
    store.settle();
    print(`User ${name} is removed, with ${count(ended, "token")}`);
  },
};

const list: Action = {
  description: "List those who may log in with a password",
  args: json,
  examples: [["farhandd user list --json", "for a program"]],
  async run(flags, config, { print }) {
    using store = openStore(config);
    const users = store.users.list().map(({ name, roles, created }) => ({ name, roles, created }));
    if (flags["json"]) return print(JSON.stringify(users));
    if (users.length === 0) return print("No users");
    const rows = users.map(({ name, roles, created }) => [name, roles.join(","), toMoment(created)]);
    print(align([["NAME", "ROLES", "CREATED"], ...rows]).join("\n"));
  },
};

/** What can be done with those who have passwords. */
export const userActions = { add, list, passwd, roles, remove } as const;

async function readHash({ readPassword }: Console, fromStdin: boolean): Promise<string> {
  const password = await readPassword(fromStdin);
  checkPassword(password);
  return await hashPassword(password);
}
