import { trade } from "../client/admission.ts";
import { type Environment, findTarget } from "../client/config.ts";
import { HostBook } from "../client/host-book.ts";
import { isExposed } from "../client/host.ts";
import { retry } from "../client/retry.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, print, toExposure, toPlace } from "./context.ts";
import { getKnownHost } from "./known-host.ts";
import { ask, readInput } from "./prompt.ts";
import type { Verb } from "./verb.ts";

/** Bytes of a password. */
const MAX_PASSWORD = 1_024;

const args = {
  name: { type: "positional", description: "the host (default: that of -H, or FARHAND_HOST)" },
  user: {
    type: "string",
    valueHint: "name",
    description: "Who logs in (default: who did so last, else this machine's user)",
  },
} as const satisfies ArgSpecs;

/** Trades a password for a token, which is kept with the host. */
export const login: Verb = {
  summary: "Log in at a host with a password",
  args,
  examples: [
    ["farhand login web1 --user ann", "asks for the password; what is kept is a token"],
    ["farhand login web1 < password", "from a file, or a program that knows it"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { home, name, ...kept } = getKnownHost(values.text("name"), context);
  const { globals, env, signal } = context;
  const user = values.text("user") ?? kept.user ?? getUserName(env);
  const target = findTarget({ ...toPlace(context), host: name }, env);
  if (isExposed(target.host)) complain(context, toExposure(target.host)); // before the password is typed
  const password = await readPassword(`Password of ${user} at ${name}: `, context);
  const admission = await retry(() => trade(target, { type: "login", user, password }, signal), {
    window: globals.connectTimeout ?? 0,
    signal,
  });
  new HostBook(home).keepLogin(name, { token: admission.token, user });
  const { expires } = admission;
  const until = expires === undefined ? "" : `, until ${new Date(expires).toISOString().slice(0, 16)}Z`;
  const told = { host: name, user: admission.user, token: admission.name, expires };
  print(context, told, () => `Logged in at ${name} as ${admission.user}${until}`);
  return 0;
}

/** This machine's user, as the login shell has left him. Throws `invalid_input`. */
function getUserName(env: Environment): string {
  const user = env["USER"] || env["LOGNAME"] || env["USERNAME"];
  if (user) return user;
  throw new AppError("invalid_input", "Cannot tell who logs in: give --user");
}

/** From the terminal without showing it; from stdin where that is none. Throws `invalid_input`. */
async function readPassword(question: string, context: Context): Promise<string> {
  const terminal = await context.localTerminal();
  const password =
    terminal === undefined
      ? await readInput(context, MAX_PASSWORD)
      : await ask(terminal, question, { ...context, isHidden: true });
  if (password !== "") return password;
  throw new AppError("invalid_input", "Cannot log in without a password: type it, or give it on stdin");
}
