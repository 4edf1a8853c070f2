import { resolve } from "node:path";
import { toMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import { type Bundle, bundle } from "./bundle.ts";
import { inspect } from "./definition.ts";
import { parseConfig } from "./config.ts";
import { describeModule } from "./describe.ts";
import type { ModuleDescription } from "./description.ts";
import { loadModule } from "./load.ts";
import { Places } from "./places.ts";
import { toModuleError } from "./problem.ts";

/** A module that is as it should be. */
export interface BuiltModule extends Bundle {
  readonly description: ModuleDescription;
}

/** What the server's configuration says of packs, by their names. */
export type PackTables = Readonly<Record<string, unknown>>;

export interface BuildOptions {
  /** Without them nobody asks whether they fit. */
  readonly packs?: PackTables;
  readonly admit?: (inputs: Bundle["inputs"]) => void;
}

/**
 * Bundles a module, runs it, and finds out what it defines: for a process of its own, which it may end or hold up. Throws
 * `invalid_module`, which names the lines that are wrong, and `invalid_config` where what `packs` say of its pack does not fit it.
 * `admit` is told, before anything is run, of what it is made of, and throws where that must not be.
 */
export async function buildModule(file: string, { packs, admit }: BuildOptions = {}): Promise<BuiltModule> {
  const path = resolve(file);
  const made = await bundle(file);
  admit?.(made.inputs);
  const places = new Places(path, made.inputs);
  const exports = await loadModule(made, places.given).catch((error: unknown) => {
    throw toModuleError(file, [places.trace(error instanceof AppError ? error.cause : error)]);
  });
  const definitions = inspect(exports);
  const description = "faults" in definitions ? definitions : describe(file, made.hash, definitions);
  if ("faults" in description)
    throw toModuleError(
      file,
      description.faults.map((fault) => ({ file: path, ...places.locate(fault) })),
    );
  const pack = "pack" in definitions ? definitions.pack : undefined;
  if (pack !== undefined && packs !== undefined) parseConfig(pack, packs[pack.name]);
  return { ...made, description };
}

function describe(file: string, ...given: Parameters<typeof describeModule>) {
  try {
    return describeModule(...given);
  } catch (error) {
    throw toModuleError(file, [{ message: `its schemas cannot be described: ${toMessage(error)}` }]);
  }
}
