import { accessSync, constants, statSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, extname, isAbsolute, join, resolve } from "node:path";
import { AppError } from "../protocol/error.ts";
import type { StartFailure } from "../protocol/outcome.ts";
import { toErrorCode } from "../lib/error-code.ts";

/** Where programs are looked for when the environment has no PATH, as execvp(3) does. */
const DEFAULT_PATH = process.platform === "win32" ? "" : "/usr/local/bin:/bin:/usr/bin";

/** Characters of a name that a message shows: an outcome must fit into one record. */
const SHOWN_CHARACTERS = 200;

/** A name as messages show it. */
export function quote(name: string): string {
  return `"${name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS).toWellFormed()}…` : name}"`;
}

/** A program that cannot be started, with the reason that becomes its job's outcome. */
export class StartError extends Error {
  readonly reason: StartFailure;

  constructor(code: StartFailure["code"], message: string) {
    super(message);
    this.reason = { code, message };
  }
}

/** Throws `bad_directory` unless `cwd` is a directory that may be entered; the OS would blame the program instead. */
export function checkDirectory(cwd: string): void {
  const refuse = (why: string) =>
    new StartError(
      "bad_directory",
      `Cannot start in directory ${quote(cwd)}: ${why}; choose another with --cwd, or farhand cd`,
    );
  try {
    if (!statSync(cwd).isDirectory()) throw refuse("it is not a directory (ENOTDIR)");
    accessSync(cwd, constants.X_OK);
  } catch (error) {
    if (error instanceof StartError) throw error;
    const code = errorCode(error);
    throw refuse(code === "ENOENT" ? "it does not exist (ENOENT)" : `it cannot be entered (${code})`);
  }
}

/** The file that a program's name means in this directory and PATH. Throws why there is none that can run. */
export function findProgram(name: string, cwd: string, path: string | undefined): string {
  const search = searchProgram(name, cwd, path);
  let step = search.next();
  while (!step.done) step = search.next(findObstacle(step.value));
  return step.value;
}

/**
 * The same; a directory that takes long to answer, such as another machine's, holds up nothing else. `look`: answers the
 * system's code for why a file cannot be run.
 */
export async function findProgramSoon(
  name: string,
  cwd: string,
  path: string | undefined,
  look: (file: string) => Promise<string | undefined> = findObstacleSoon,
): Promise<string> {
  const search = searchProgram(name, cwd, path);
  let step = search.next();
  while (!step.done) step = search.next(await look(step.value));
  return step.value;
}

/** Whether a program's name says where it is, so that it is looked for nowhere else. */
export function isPath(name: string): boolean {
  return process.platform === "win32" ? /[/\\]/.test(name) : name.includes("/");
}

/** Asks of one file after another why it cannot be run, until one can. */
function* searchProgram(
  name: string,
  cwd: string,
  path: string | undefined,
): Generator<string, string, string | undefined> {
  if (name === "") throw new StartError("program_not_found", `Cannot run "": the program's name is empty`);
  if (isPath(name)) {
    const file = resolve(cwd, name);
    const obstacle = yield file;
    if (obstacle === undefined) return file;
    throw toStartError(name, file, obstacle);
  }
  let blocked: StartError | undefined;
  for (const directory of (path ?? DEFAULT_PATH).split(delimiter)) {
    for (const file of candidates(join(isAbsolute(directory) ? directory : resolve(cwd, directory), name))) {
      const obstacle = yield file;
      if (obstacle === undefined) return file;
      if (!isAbsence(obstacle)) blocked ??= toStartError(name, file, obstacle);
    }
  }
  throw (
    blocked ??
    new StartError("program_not_found", `Cannot run ${quote(name)}: no such program in PATH (ENOENT)`)
  );
}

/** Why the system would not execute a file that looked as if it could be, by the system's code. */
export function explainRefusal(code: string, name: string, file: string): StartError {
  switch (code) {
    case "E2BIG":
      return new StartError(
        "too_large",
        `Cannot run ${quote(name)}: arguments and environment are too large (E2BIG)`,
      );
    case "ENOENT":
      return new StartError(
        "program_not_executable",
        `Cannot run ${quote(name)}: the interpreter that ${quote(file)} names does not exist (ENOENT)`,
      );
    case "ENOEXEC":
      return new StartError(
        "program_not_executable",
        `Cannot run ${quote(name)}: ${quote(file)} is no program of this machine (ENOEXEC)`,
      );
    case "EACCES":
    case "EPERM":
      return new StartError(
        "program_not_executable",
        `Cannot run ${quote(name)}: ${quote(file)} is not executable (${code})`,
      );
    default:
      return new StartError(
        "start_failed",
        `Cannot run ${quote(name)}: the system refused to start it (${code})`,
      );
  }
}

/** A batch file re-parses its arguments, so that a quoted one can become a command (CVE-2024-24576). */
export function refuseBatchFile(file: string): void {
  if (process.platform !== "win32" || !/^\.(?:bat|cmd)\s*\.*$/i.test(extname(file.replace(/[\s.]+$/, ""))))
    return;
  throw new AppError(
    "invalid_input",
    `Cannot run ${quote(file)}: batch files re-read their arguments; use --shell instead`,
  );
}

function candidates(file: string): string[] {
  if (process.platform !== "win32" || extname(file) !== "") return [file];
  return (process.env["PATHEXT"] ?? ".EXE;.COM").split(";").map((extension) => file + extension);
}

/** The system's code for why a file cannot be run, or undefined if it can. */
function findObstacle(file: string): string | undefined {
  try {
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined) return "ENOENT";
    if (found.isDirectory()) return "EISDIR";
    accessSync(file, constants.X_OK);
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

/** The system's code for why a file cannot be run, or undefined if it can. */
export async function findObstacleSoon(file: string): Promise<string | undefined> {
  try {
    if ((await stat(file)).isDirectory()) return "EISDIR";
    await access(file, constants.X_OK);
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

function isAbsence(code: string): boolean {
  return code === "ENOENT" || code === "ENOTDIR";
}

function toStartError(name: string, file: string, code: string): StartError {
  const refuse = (reason: StartFailure["code"], why: string) =>
    new StartError(reason, `Cannot run ${quote(name)}: ${quote(file)} ${why} (${code})`);
  if (isAbsence(code)) return refuse("program_not_found", "does not exist");
  return refuse("program_not_executable", code === "EISDIR" ? "is a directory" : "is not executable");
}

/** The system's code of an error that it gave. */
export function errorCode(error: unknown): string {
  return toErrorCode(error) ?? "unknown error";
}
