import { existsSync, writeSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { parseArgs } from "node:util";
import * as v from "valibot";
import { findCommand } from "./commands/index.ts";
import { keep } from "./keeper/keeper.ts";
import { openPlace } from "./keeper/place.ts";
import { createLog, describeError, type Log } from "./lib/log.ts";
import { BUILD, COMMIT, VERSION } from "./lib/version.ts";
import { assume, AssumeError } from "./process/assume.ts";
import { Credentials } from "./process/credentials.ts";
import { launch } from "./process/launch.ts";
import { openLibc } from "./process/libc.ts";
import { nameProcess } from "./process/name.ts";
import { openInput, openOutput } from "./process/pipe.ts";
import { readPassword } from "./process/prompt.ts";
import { AppError } from "./protocol/error.ts";
import { KeeperId } from "./protocol/id.ts";
import { encodeJson } from "./runner/record.ts";
import { work } from "./runner/work.ts";
import { act, type Console } from "./server/auth/verbs/action.ts";
import { invite } from "./server/auth/verbs/invite.ts";
import { administer } from "./server/audit/administration.ts";
import { readConfig, type ServerConfig } from "./server/config.ts";
import { findServer, reload, start, stop, waitForServer } from "./server/control.ts";
import { describeRepair, repair } from "./server/jobs/repair.ts";
import { openLogFile } from "./server/log-file.ts";
import { describeReloaded, describeStarted, describeStatus, describeStopped } from "./server/report.ts";
import { createRunnerContexts } from "./server/runners/context.ts";
import { serve } from "./server/serve.ts";
import { findPin } from "./server/tls/fingerprint.ts";
import { changeService } from "./server/service/change.ts";
import {
  findAction,
  type Flags,
  isVerb,
  parseFlags,
  toConfigFlags,
  toStopRequest,
  unknownVerb,
  usage,
  type Verb,
} from "./server/verbs.ts";

/** How this executable is run again: on Linux by a path that also works when its file was replaced meanwhile. */
function toSelf(...args: string[]): { argv: readonly string[]; argv0: string } {
  const { execPath } = process;
  const program = isCompiled() && process.platform === "linux" ? "/proc/self/exe" : execPath;
  return { argv: [program, ...(isCompiled() ? [] : [Bun.main]), ...args], argv0: toPath(execPath) };
}

function isCompiled(): boolean {
  return Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/");
}

/** Where an executable lies, also after another took its place. */
function toPath(execPath: string): string {
  return execPath.replace(/ \(deleted\)$/, "");
}

async function main(argv: readonly string[]): Promise<void> {
  const [verb = "--help", ...rest] = argv;
  if (verb === "keeper") return runKeeper(rest);
  const topic = verb === "help" || verb.startsWith("-") ? rest.find(isVerb) : verb;
  if (topic !== undefined && !isVerb(topic)) throw unknownVerb(topic);
  const isAsked = (...flags: string[]) => flags.includes(verb) || flags.some((flag) => rest.includes(flag));
  if (isAsked("--help", "-h") || verb === "help")
    return print(await usage(topic, VERSION, process.stdout.isTTY, toWord(topic, rest)));
  if (isAsked("--version", "-V")) return print(`farhandd ${VERSION} (${COMMIT})`);
  if (!isVerb(verb)) throw unknownVerb(verb);
  const flags = parseFlags(verb, rest);
  const config = readConfig(toConfigFlags(flags), process.env);
  const show = <T>(value: T, describe: (value: T) => string) =>
    print(flags["json"] ? JSON.stringify(value) : describe(value));
  switch (verb) {
    case "serve":
      return runServer(flags, config);
    case "start": {
      const again = toSelf("serve", "--background", ...rest.filter((flag) => flag !== "--json"));
      return show(await start(config.state, again, stopSignal(1)), describeStarted);
    }
    case "stop": {
      const stopped = await stop(config.state, toStopRequest(flags), stopSignal(1));
      if (stopped.left.length > 0) process.exitCode = 1;
      const { status, ended, left } = stopped;
      const { pid, jobs } = status;
      return show({ pid, jobs, ...(flags["jobs"] && { ended, left }) }, () => describeStopped(stopped));
    }
    case "token":
    case "user":
    case "role":
    case "invite": {
      const action = verb === "invite" ? invite : findAction(verb, rest[0]);
      const words = verb === "invite" ? [verb] : [verb, rest[0] ?? ""];
      const options = { words, flags, state: config.state, account: userInfo().username };
      return await administer(options, () => action && act(action, flags, config, toConsole(stopSignal(1))));
    }
    case "reload": {
      const report = await reload(config.state, stopSignal(1));
      if (report.failed.length > 0) process.exitCode = 1;
      return show(report, describeReloaded);
    }
    case "fingerprint": {
      const pin = await findPin(config, await findServer(config.state, stopSignal(1)));
      return show({ pin }, ({ pin }) => pin);
    }
    case "repair": {
      const report = repair({ state: config.state, rebuild: Boolean(flags["rebuild"]), now: new Date() });
      return print(flags["json"] ? JSON.stringify(report) : describeRepair(report));
    }
    case "audit": {
      const { inquire } = await import("./server/audit/inquiry.ts");
      const directory = join(config.state, "audit");
      const signal = AbortSignal.any([stopSignal(1), reader.signal]);
      process.exitCode = await inquire(flags, { directory, now: new Date(), print: printSlowly, signal });
      return;
    }
    case "status":
      return runStatus(config.state, Boolean(flags["json"]), stopSignal(1));
    case "service":
      return runService(flags, config, stopSignal(1));
  }
}

/** The word behind a verb that says what to do, also in `help token create`. */
function toWord(verb: Verb | undefined, words: readonly string[]): string | undefined {
  return verb && words.find((word) => findAction(verb, word) !== undefined);
}

function toConsole(signal: AbortSignal): Console {
  return {
    print,
    note: (text) => process.stderr.write(`${text}\n`),
    readPassword: (fromStdin) => readPassword(fromStdin, process, signal),
    signal,
  };
}

async function runServer(flags: Flags, config: ServerConfig): Promise<void> {
  nameProcess("farhandd");
  // A terminal that hangs up ends what was started on it. Elsewhere, as servers have it, it asks to read everything anew.
  const isOnTerminal = [0, 1, 2].some((fd) => isatty(fd));
  const signal = stopSignal(0, isOnTerminal ? ENDING : ["SIGINT", "SIGTERM"]);
  let onHangUp = () => {}; // until there is a server, which reads everything anyway
  if (!isOnTerminal) process.on("SIGHUP", () => onHangUp());
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
      toRunnerCommand: ({ credentials }) => toSelf("runner", JSON.stringify(credentials)),
      openLog: (state) => {
        const log = openLog(join(state, "logs", "server.log"), config, () => isEchoing);
        surviveErrors(log);
        return log;
      },
      readConfig: () => readConfig(toConfigFlags(flags), process.env),
      onListening: (reload) => {
        isEchoing = !flags["background"];
        onHangUp = () => void reload(); // which logs what fails
      },
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

/** Becomes somebody else before anything, and does calls for the front that started it. */
async function runRunner([text = ""]: readonly string[]): Promise<void> {
  try {
    assume(v.parse(Credentials, JSON.parse(text)));
  } catch (error) {
    const why = error instanceof AssumeError ? error.message : "Cannot become another";
    writeSync(1, encodeJson("failure", { code: "forbidden", message: `${why}: run the server as root` }));
    return;
  }
  process.umask(0o077);
  nameProcess("farhandd");
  const stopped = new AbortController();
  for (const name of ["SIGINT", "SIGHUP"] as const) process.on(name, () => {});
  process.on("SIGTERM", () => stopped.abort(new AppError("cancelled", "The caller cancelled")));
  openLibc().prepareReading(0);
  const [orders, answers] = [openOutput(Bun.file(0).stream()), openInput(1)];
  const peer = { read: () => orders.read(), write: (bytes: Uint8Array) => answers.write(bytes) };
  await work({ peer, findCommand, toContext: createRunnerContexts() }, stopped.signal);
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
  print(asJson ? JSON.stringify({ running: true, state, ...status }) : describeStatus(status, state));
}

async function runService(flags: Flags, config: ServerConfig, signal: AbortSignal): Promise<void> {
  const user = userInfo();
  const { text, code } = await changeService(
    flags,
    {
      executable: isCompiled() ? toPath(process.execPath) : undefined,
      state: config.state,
      env: process.env,
      platform: process.platform,
      uid: user.uid,
      account: user.username,
      home: homedir(),
    },
    {
      // The others' managers always run.
      isRunning: process.platform !== "linux" || existsSync("/run/systemd/system"),
      run,
      findServer: async () => (await findServer(config.state, signal))?.status.pid,
      waitForServer: () => waitForServer(config.state, signal),
    },
  );
  process.exitCode = code;
  print(text);
}

function run(argv: readonly string[]): { code: number; output: string } {
  try {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], { stdin: "ignore" });
    return { code: exitCode, output: `${stdout}${stderr}` };
  } catch (error) {
    return { code: 127, output: error instanceof Error ? error.message : String(error) };
  }
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

/** Signals that ask to end. */
const ENDING: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Aborted by the first signal that asks to end. The second ends this process at once, and with it nothing that others keep. */
function stopSignal(hurried: number, names: readonly NodeJS.Signals[] = ENDING): AbortSignal {
  const controller = new AbortController();
  for (const name of names) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(hurried);
      controller.abort(new AppError("shutting_down", `Stopped by ${name}`));
    });
  }
  return controller.signal;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Resolves when it is taken, so that no more is read than somebody wants to see. */
function printSlowly(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
}

if (process.argv[2] === "launch") {
  launch(); // our stdin, stdout and stderr are the program's already: nothing here may touch them
  process.exit(1);
}
if (process.argv[2] === "runner") {
  await runRunner(process.argv.slice(3)).catch(() => {}); // whoever we did it for has gone
  process.exit(0);
}
/** Aborted when whoever read us has gone. */
const reader = new AbortController();
process.stdout.on("error", () => reader.abort(new AppError("cancelled", "Nobody reads this any more")));
process.stderr.on("error", () => {});
try {
  await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`farhandd: ${error instanceof AppError ? error.message : describeError(error)}\n`);
}
