import { toMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import * as authoring from "./authoring.ts";
import type { Bundle } from "./bundle.ts";

/**
 * Runs a bundle, once in each process, from memory, and answers what it exports. `given`: what it finds as `farhand`. Throws
 * `invalid_module` with the cause; ends only if the module does.
 */
export async function loadModule(
  { source, hash }: Pick<Bundle, "source" | "hash">,
  given: object = authoring,
): Promise<unknown> {
  const name = `farhand-module:${hash}`;
  const contents = new TextDecoder().decode(source);
  Bun.plugin({
    name: "farhand",
    setup(build) {
      build.module("farhand", () => ({ exports: { ...given }, loader: "object" }));
      build.module(name, () => ({ contents, loader: "js" }));
    },
  });
  try {
    const exports: unknown = await import(name);
    return exports;
  } catch (error) {
    throw new AppError("invalid_module", `Cannot load the module: ${toMessage(error)}`, { cause: error });
  }
}
