import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { AppError } from "../../protocol/error.ts";
import { MARK, type ServiceCommand, type ServiceDefinition, type ServiceQuery } from "./definition.ts";
import { toMessage } from "../../lib/message.ts";

/** How a command of a service manager went. */
export interface CommandRun {
  readonly code: number;
  /** What it wrote, to either stream. */
  readonly output: string;
}

/** What a service manager is reached by. */
export interface ServiceSystem {
  /** Whether the manager runs on this machine; where it does not, in a container for one, nothing is asked of it. */
  readonly isRunning: boolean;
  /** Runs a command to its end; one that is not there ends with 127. */
  readonly run: (argv: readonly string[]) => CommandRun;
}

/** What was done, and what is left to do by hand because the manager does not run. */
export interface ServiceChange {
  readonly manager: ServiceDefinition["manager"];
  readonly path: string;
  readonly byHand: readonly string[];
}

export interface ServiceState {
  readonly manager: ServiceDefinition["manager"];
  readonly path: string;
  readonly installed: boolean;
  readonly enabled: boolean;
  readonly running: boolean;
}

/** Writes the definition and has the manager start it. Throws `already_exists` where somebody else's is. */
export function install(definition: ServiceDefinition, system: ServiceSystem): ServiceChange {
  const { manager, path, text, encoding } = definition;
  checkOurs(definition, "install");
  try {
    mkdirSync(dirname(path), { recursive: true });
    // Whole or not at all: a manager may read it at any moment.
    writeFileSync(`${path}.new`, encoding === "utf16le" ? `\uFEFF${text}` : text, { encoding, mode: 0o644 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw new AppError("unavailable", `Cannot install the service: ${toMessage(error)}`, { cause: error });
  }
  return { manager, path, byHand: runAll(definition.enable, system, "install") };
}

/** Stops and removes the service; jobs go on. Throws `not_found` where there is none, `already_exists` for somebody else's. */
export function uninstall(definition: ServiceDefinition, system: ServiceSystem): ServiceChange {
  const { manager, path, disable, forget } = definition;
  if (!existsSync(path))
    throw new AppError("not_found", `Cannot uninstall the service: there is none at "${path}"`);
  checkOurs(definition, "uninstall");
  const before = runAll(disable, system, "uninstall");
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw new AppError("unavailable", `Cannot uninstall the service: ${toMessage(error)}`, { cause: error });
  }
  return { manager, path, byHand: [...before, ...runAll(forget, system, "uninstall")] };
}

/** How the service stands: its file, and what its manager says of it where that runs. */
export function inspect(definition: ServiceDefinition, system: ServiceSystem): ServiceState {
  const { manager, path, isEnabled, isActive } = definition;
  const installed = isOurs(definition);
  const holds = ({ argv, pattern }: ServiceQuery) => {
    if (!installed || !system.isRunning) return false;
    const { code, output } = system.run(argv);
    return code === 0 && pattern.test(output);
  };
  return { manager, path, installed, enabled: holds(isEnabled), running: holds(isActive) };
}

function checkOurs(definition: ServiceDefinition, verb: string): void {
  const { path } = definition;
  if (!existsSync(path) || isOurs(definition)) return;
  throw new AppError(
    "already_exists",
    `Cannot ${verb} the service: "${path}" was not written by farhandd service install; move it away`,
  );
}

function isOurs({ path, encoding }: ServiceDefinition): boolean {
  try {
    return readFileSync(path, encoding).includes(MARK);
  } catch {
    return false; // absent, or not ours to read
  }
}

/** Answers what is to be run by hand where the manager does not run. Throws what it says where it refuses. */
function runAll(commands: readonly ServiceCommand[], system: ServiceSystem, verb: string): string[] {
  if (!system.isRunning) return commands.filter(({ mayFail }) => !mayFail).map(({ argv }) => argv.join(" "));
  for (const { argv, mayFail } of commands) {
    const { code, output } = system.run(argv);
    if (code === 0 || mayFail) continue;
    const said = output.trim().split("\n").at(-1) ?? "";
    throw new AppError(
      "unavailable",
      `Cannot ${verb} the service: "${argv.join(" ")}" ended with ${code}: ${said}`,
    );
  }
  return [];
}
