import type { Program } from "../../commands/define.ts";
import { AppError } from "../../protocol/error.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { fromBytes } from "../../protocol/path.ts";
import { toRecorded } from "../jobs/mask.ts";
import type { Confinement } from "./confinement.ts";
import { toFailure } from "./failure.ts";
import { OutsideError } from "./outside.ts";

/**
 * A program that starts where its caller may work: in the directory that its own leads to, by the path without links, so that none
 * on the way counts. Throws `forbidden`, which does not tell whether there is such a directory, and `os_error` where it is missing.
 */
export async function enclose<P extends Pick<Program, "argv" | "recorded" | "secrets" | "cwd">>(
  program: P,
  confinement: Pick<Confinement, "check"> | undefined,
): Promise<P & { readonly exact?: true }> {
  if (confinement === undefined) return program;
  const directory = Buffer.from(program.cwd);
  const action = `run "${(toRecorded(program)[0] ?? "").slice(0, 200)}" in`;
  try {
    return { ...program, cwd: toText(await confinement.check(directory)), exact: true };
  } catch (error) {
    throw toFailure(action, directory, withRemedy(error));
  }
}

function withRemedy(error: unknown): unknown {
  if (!(error instanceof OutsideError)) return error;
  return new OutsideError(`${error.fault}; choose a directory there with --cwd, or farhand cd`);
}

/** Bun starts programs in directories whose names are text. */
function toText(path: Buffer): string {
  const text = fromBytes(path);
  if (typeof text === "string") return text;
  const why = "its name is no UTF-8; choose another with --cwd";
  throw new AppError("invalid_input", `Cannot start in directory "${escapeBytes(path)}": ${why}`);
}
