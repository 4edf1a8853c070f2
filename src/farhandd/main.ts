import { join } from "node:path";
import { COMMIT, VERSION } from "../lib/version.ts";
import { readPassword } from "../process/prompt.ts";
import { administer } from "../server/audit/administration.ts";
import { act, type Console } from "../server/auth/verbs/action.ts";
import { invite } from "../server/auth/verbs/invite.ts";
import { readConfig } from "../server/config.ts";
import { Builder } from "../server/extensions/builder.ts";
import { findServer, reload, start, stop } from "../server/control.ts";
import { describeRepair, repair } from "../server/jobs/repair.ts";
import { readAccount } from "../server/machine/users.ts";
import { describeReloaded, describeStarted, describeStatus, describeStopped } from "../server/report.ts";
import { findPin } from "../server/tls/fingerprint.ts";
import { parseFlags, toConfigFlags, toStopRequest } from "../server/flags.ts";
import { usage } from "../server/help.ts";
import { findAction, isVerb, unknownVerb, type Verb } from "../server/verbs.ts";
import { toSelf } from "./self.ts";
import { stopSignal } from "./signals.ts";

/**
 * Does what a verb says, sets the exit code, and throws why it cannot. `reader` is aborted when whoever reads our stdout has gone.
 * What a server is made of is loaded only for one.
 */
export async function main(argv: readonly string[], reader: AbortSignal): Promise<void> {
  const [verb = "--help", ...rest] = argv;
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
    case "serve": {
      const { runServer } = await import("./serve.ts");
      return await runServer(flags, config);
    }
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
      const signal = stopSignal(1);
      const { name: account } = await readAccount(signal);
      const options = { words, flags, state: config.state, account };
      return await administer(options, () => action && act(action, flags, config, toConsole(signal)));
    }
    case "extension": {
      const action = findAction(verb, rest[0]);
      return await action?.run(flags, config, toConsole(stopSignal(1)));
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
      const { inquire } = await import("../server/audit/inquiry.ts");
      const directory = join(config.state, "audit");
      const signal = AbortSignal.any([stopSignal(1), reader]);
      process.exitCode = await inquire(flags, { directory, now: new Date(), print: printSlowly, signal });
      return;
    }
    case "status":
      return runStatus(config.state, Boolean(flags["json"]), stopSignal(1));
    case "service": {
      const { runService } = await import("./service.ts");
      const { text, code } = await runService(flags, config, stopSignal(1));
      process.exitCode = code;
      return print(text);
    }
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
    builder: new Builder({ toCommand: (file, directory) => toSelf("build-module", file, directory) }),
    signal,
  };
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

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Resolves when it is taken, so that no more is read than somebody wants to see. */
function printSlowly(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
}
