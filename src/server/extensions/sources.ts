import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { toErrorCode } from "../../lib/error-code.ts";
import { toMessage } from "../../lib/message.ts";
import { AppError } from "../../protocol/error.ts";
import { findTrusted } from "../trusted.ts";
import type { ExtensionSettings } from "./settings.ts";

const MODULE = /^[^.].*\.m?[tj]s$/;
const DECLARATIONS = /\.d\.[cm]?ts$/;

/** Whether a file is one of types only, which is for editors and no module. */
export function isDeclarations(file: string): boolean {
  return DECLARATIONS.test(file);
}

/** Something that is not what it should be, and what a report calls it. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
}

/** The modules that there are by name, in the order in which they come first; and what is in the way of knowing. */
export function listSources({
  directory,
  isNamed,
  files,
}: Pick<ExtensionSettings, "directory" | "isNamed" | "files">): {
  readonly files: readonly string[];
  readonly faults: readonly Fault[];
} {
  try {
    const found = listModules(directory);
    return { files: [...new Set([...files, ...found])], faults: [] };
  } catch (error) {
    const isMissing = toErrorCode(error) === "ENOENT" && !isNamed;
    const faults = isMissing ? [] : [{ name: directory, reason: toMessage(error) }];
    return { files: [...new Set(files)], faults };
  }
}

/** Where a module is that may be run; what leads there may be a link, which nobody else made. Throws `invalid_module`. */
export function findSource(file: string): string {
  const refuseIt = (why: string, cause?: unknown) => {
    const details = { problems: [{ message: why, file, mending: [dirname(file)] }] };
    return new AppError("invalid_module", `Cannot use module "${file}": ${why}`, { details, cause });
  };
  findTrusted(dirname(file), "directory", refuseIt);
  return findTrusted(file, "file", refuseIt);
}

function listModules(directory: string): readonly string[] {
  const names = readdirSync(directory).filter((name) => MODULE.test(name) && !isDeclarations(name));
  return names.sort().map((name) => join(directory, name));
}
