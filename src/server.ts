import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from "citty";
import { keep } from "./keeper/keeper.ts";
import { openPlace } from "./keeper/place.ts";
import { createLog, describeError, type Log, LOG_FORMATS, LOG_LEVELS } from "./lib/log.ts";
import { BUILD, COMMIT, VERSION } from "./lib/version.ts";
import { launch } from "./process/launch.ts";
import { openLibc } from "./process/libc.ts";
import { nameProcess } from "./process/name.ts";
import { AppError } from "./protocol/error.ts";
import { KeeperId } from "./protocol/id.ts";
import type { ServerStatus } from "./server/app.ts";
import { readConfig, type ServerConfig } from "./server/config.ts";
import { findServer, start, stop } from "./server/control.ts";
import { openLogFile } from "./server/log-file.ts";
import { serve } from "./server/serve.ts";
import * as v from "valibot";

type Flags = Readonly<Record<string, string | boolean | string[] | undefined>>;

const state: ArgsDef = {
  state: {
    type: "string",
    valueHint: "dir",
    description: "State directory (default $FARHAND_STATE, or /var/lib/farhand for root)",
  },
  config: {
    type: "string",
    valueHint: "file",
    description: "Configuration in TOML: listen, state, log.level, log.format",
  },
};
const serving: ArgsDef = {
  listen: {
    type: "string",
    valueHint: "host:port",
    description: "May be repeated (default 127.0.0.1:9922 and [::1]:9922)",
  },
  ...state,
  "log-level": { type: "enum", options: [...LOG_LEVELS], description: "How much to log (default info)" },
  "log-format": {
    type: "enum",
    options: [...LOG_FORMATS],
    description: "How to write the log (default text)",
  },
};
const json: ArgsDef = { json: { type: "boolean", description: "Print one JSON value" } };
/** For ourselves: `start` reads what a server says on stderr until that listens, and nobody does afterwards. */
const background: ArgsDef = { background: { type: "boolean" } };
const asked: ArgsDef = {
  help: { type: "boolean", alias: "h", description: "Show help, also of one command" },
  version: { type: "boolean", alias: "V", description: "Show the version" },
};

const verbs = {
  serve: { description: "Serve in the foreground", args: serving },
  start: {
    description: "Serve in the background; returns when the server answers",
    args: { ...serving, ...json },
  },
  stop: { description: "Stop the server; running jobs go on", args: { ...state, ...json } },
  status: {
    description: "Tell whether the server runs, where, and with how many jobs",
    args: { ...state, ...json },
  },
} satisfies Record<string, { description: string; args: ArgsDef }>;
type Verb = keyof typeof verbs;

const commands = Object.fromEntries(
  Object.entries(verbs).map(([name, { description, args }]) => [
    name,
    defineCommand({ meta: { name, description }, args }),
  ]),
);
const EXIT_CODES = `EXIT CODES

  0: done. 1: it cannot be done, and stderr says why. 3: status found no server.`;

const root: CommandDef = {
  meta: {
    name: "farhandd",
    version: VERSION,
    description: "The server of Farhand: runs commands for its clients and keeps what they say",
  },
  args: asked,
  subCommands: commands,
};

/** How this executable is run again: on Linux by a path that also works when its file was replaced meanwhile. */
function toSelf(...args: string[]): { argv: readonly string[]; argv0: string } {
  const isCompiled = Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/");
  const { execPath } = process;
  const program = isCompiled && process.platform === "linux" ? "/proc/self/exe" : execPath;
  return {
    argv: [program, ...(isCompiled ? [] : [Bun.main]), ...args],
    argv0: execPath.replace(/ \(deleted\)$/, ""),
  };
}

async function main(argv: readonly string[]): Promise<void> {
  const [verb = "--help", ...rest] = argv;
  if (verb === "keeper") return runKeeper(rest);
  const topic = verb === "help" || verb.startsWith("-") ? rest.find(isVerb) : verb;
  if (topic !== undefined && !isVerb(topic)) throw unknownVerb(topic);
  const isAsked = (...flags: string[]) => flags.includes(verb) || flags.some((flag) => rest.includes(flag));
  if (isAsked("--help", "-h") || verb === "help") return print(await usage(topic));
  if (isAsked("--version", "-V")) return print(`farhandd ${VERSION} (${COMMIT})`);
  if (!isVerb(verb)) throw unknownVerb(verb);
  const flags = parseFlags(rest, { ...verbs[verb].args, ...(verb === "serve" && background) });
  const config = readConfig(toConfigFlags(flags), process.env);
  const signal = stopSignal();
  switch (verb) {
    case "serve":
      return runServer(config, Boolean(flags["background"]), signal);
    case "start": {
      const status = await start(
        config.state,
        toSelf("serve", "--background", ...rest.filter((flag) => flag !== "--json")),
        signal,
      );
      return print(
        flags["json"]
          ? JSON.stringify(status)
          : `farhandd ${status.version} listens on ${status.listen.join(" and ")} with pid ${status.pid}`,
      );
    }
    case "stop": {
      const { pid, jobs } = await stop(config.state, signal);
      const going = jobs.running === 0 ? "" : `; ${jobs.running} running jobs go on without it`;
      return print(
        flags["json"] ? JSON.stringify({ pid, jobs }) : `farhandd with pid ${pid} has stopped${going}`,
      );
    }
    case "status":
      return runStatus(config.state, Boolean(flags["json"]), signal);
  }
}

async function runServer(config: ServerConfig, isBackground: boolean, signal: AbortSignal): Promise<void> {
  nameProcess("farhandd");
  let isEchoing = true;
  await serve(
    {
      config,
      version: VERSION,
      build: BUILD,
      env: process.env,
      toKeeperCommand: (state, id) =>
        toSelf(
          "keeper",
          "--state",
          state,
          "--id",
          id,
          "--log-level",
          config.logLevel,
          "--log-format",
          config.logFormat,
        ),
      openLog: (state) => {
        const log = openLog(join(state, "logs", "server.log"), config, () => isEchoing);
        surviveErrors(log);
        return log;
      },
      onListening: () => (isEchoing = !isBackground),
    },
    signal,
  );
}

async function runKeeper(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: "string" },
      id: { type: "string" },
      "log-level": { type: "string" },
      "log-format": { type: "string" },
    },
  });
  process.umask(0o077);
  const { state, logLevel, logFormat } = readConfig(
    {
      listen: [],
      state: values.state,
      config: undefined,
      logLevel: values["log-level"],
      logFormat: values["log-format"],
    },
    {},
  );
  nameProcess("farhandd");
  const place = openPlace(state, v.parse(KeeperId, values.id));
  const log = openLog(join(state, "logs", "keeper.log"), { logLevel, logFormat }, () => false);
  const libc = process.platform === "win32" ? undefined : openLibc();
  // A terminal's or a service manager's signals are for the front; a keeper ends with its last job.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => {});
  surviveErrors(log);
  log.info("keeping", { keeper: place.id, pid: process.pid });
  const launcher = process.platform === "linux" ? toSelf("launch") : undefined;
  await keep({ state, place, build: BUILD, libc, launcher, log }, new AbortController().signal);
  log.info("ended", { keeper: place.id });
}

async function runStatus(state: string, asJson: boolean, signal: AbortSignal): Promise<void> {
  const found = await findServer(state, signal);
  if (found === undefined) {
    process.exitCode = 3;
    return print(
      asJson ? JSON.stringify({ running: false, state }) : `farhandd does not run (state directory ${state})`,
    );
  }
  const { status } = found;
  if (asJson) return print(JSON.stringify({ running: true, state, ...status }));
  const keepers = status.keepers.map(describeKeeper).join(", ");
  print(
    `farhandd ${status.version} runs with pid ${status.pid}\n` +
      `  listening on ${status.listen.join(" and ")}\n  state in ${state}\n` +
      `  ${status.jobs.running} of ${status.jobs.total} jobs running; ${keepers}`,
  );
}

function describeKeeper(keeper: ServerStatus["keepers"][number]): string {
  const who = `keeper ${keeper.pid ?? keeper.id} with ${keeper.jobs} jobs`;
  switch (keeper.state) {
    case "reached":
      return who;
    case "unreached":
      return `${who} (it does not answer)`;
    case "unsupported":
      return `${who} (of version ${keeper.major}, which this farhandd cannot use)`;
  }
}

function unknownVerb(word: string): AppError {
  return new AppError("invalid_input", `Cannot do "${word}": see farhandd --help`);
}

function isVerb(word: string): word is Verb {
  return Object.hasOwn(verbs, word);
}

function parseFlags(args: readonly string[], known: ArgsDef): Flags {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { type }]) => [
      name,
      { type: type === "boolean" ? ("boolean" as const) : ("string" as const), multiple: name === "listen" },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Flags;
  } catch (error) {
    throw new AppError(
      "invalid_input",
      error instanceof Error ? `Cannot read the command line: ${error.message}` : String(error),
    );
  }
}

function toConfigFlags(flags: Flags) {
  const text = (name: string) => (typeof flags[name] === "string" ? flags[name] : undefined);
  return {
    listen: Array.isArray(flags["listen"]) ? flags["listen"] : [],
    state: text("state"),
    config: text("config"),
    logLevel: text("log-level"),
    logFormat: text("log-format"),
  };
}

function openLog(
  path: string,
  { logLevel, logFormat }: Pick<ServerConfig, "logLevel" | "logFormat">,
  isEchoing: () => boolean,
): Log {
  const toFile = openLogFile(path);
  const write = (line: string) => {
    toFile(line);
    if (isEchoing()) process.stderr.write(`${line}\n`, () => {});
  };
  return createLog({ level: logLevel, format: logFormat, write, now: () => new Date() });
}

/** What nobody caught is logged, and ends neither the jobs nor the clients that it has nothing to do with. */
function surviveErrors(log: Log): void {
  for (const name of ["uncaughtException", "unhandledRejection"] as const)
    process.on(name, (error: unknown) => log.error("unexpected", { error: describeError(error) }));
}

/** Aborted by the first signal that asks to end. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => controller.abort(new AppError("shutting_down", `Stopped by ${name}`)));
  }
  return controller.signal;
}

async function usage(verb: Verb | undefined): Promise<string> {
  const command = verb && commands[verb];
  const text = `${await renderUsage(command ?? root, command && root)}\n\n${EXIT_CODES}`;
  const shown = process.stdout.isTTY ? text : Bun.stripANSI(text);
  return shown.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (process.argv[2] === "launch") {
  launch(); // our stdin, stdout and stderr are the program's already: nothing here may touch them
  process.exit(1);
}
process.stdout.on("error", () => {}); // whoever read us has gone
process.stderr.on("error", () => {});
try {
  await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`farhandd: ${error instanceof AppError ? error.message : describeError(error)}\n`);
}
