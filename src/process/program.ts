import { accessSync, constants, statSync } from "node:fs";
import { delimiter, extname, isAbsolute, join, resolve } from "node:path";
import { AppError } from "../protocol/error.ts";
import type { StartFailure } from "../protocol/outcome.ts";

/** Where programs are looked for when the environment has no PATH, as execvp(3) does. */
const DEFAULT_PATH = process.platform === "win32" ? "" : "/usr/local/bin:/bin:/usr/bin";

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
    new StartError("bad_directory", `Cannot start in directory "${cwd}": ${why}`);
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
  if (name === "") throw new StartError("program_not_found", `Cannot run "": the program's name is empty`);
  if (/[/\\]/.test(name) && (process.platform === "win32" || name.includes("/")))
    return checkProgram(resolve(cwd, name), name);
  let blocked: StartError | undefined;
  for (const directory of (path ?? DEFAULT_PATH).split(delimiter)) {
    for (const file of candidates(join(isAbsolute(directory) ? directory : resolve(cwd, directory), name))) {
      try {
        return checkProgram(file, name);
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        if (error.reason.code === "program_not_executable") blocked ??= error;
      }
    }
  }
  throw (
    blocked ?? new StartError("program_not_found", `Cannot run "${name}": no such program in PATH (ENOENT)`)
  );
}

/** A batch file re-parses its arguments, so that a quoted one can become a command (CVE-2024-24576). */
export function refuseBatchFile(file: string): void {
  if (process.platform !== "win32" || !/^\.(?:bat|cmd)\s*\.*$/i.test(extname(file.replace(/[\s.]+$/, ""))))
    return;
  throw new AppError(
    "invalid_input",
    `Cannot run "${file}": batch files re-read their arguments; use --shell instead`,
  );
}

function candidates(file: string): string[] {
  if (process.platform !== "win32" || extname(file) !== "") return [file];
  return (process.env["PATHEXT"] ?? ".EXE;.COM").split(";").map((extension) => file + extension);
}

function checkProgram(file: string, name: string): string {
  const refuse = (why: string) => new StartError("program_not_executable", `Cannot run "${name}": ${why}`);
  try {
    if (statSync(file).isDirectory()) throw refuse(`"${file}" is a directory (EISDIR)`);
    accessSync(file, constants.X_OK);
    return file;
  } catch (error) {
    if (error instanceof StartError) throw error;
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new StartError("program_not_found", `Cannot run "${name}": "${file}" does not exist (${code})`);
    }
    throw refuse(`"${file}" is not executable (${code})`);
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
