import * as v from "valibot";
import { modulePut } from "../../commands/module-put.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_MODULE_BYTES } from "../../protocol/limits.ts";
import { ModuleHash } from "../../protocol/task.ts";
import { invoke } from "../invoke.ts";
import type { Session } from "../session.ts";
import { isUnknown } from "./unknown.ts";

/** A task's module: the path of a TypeScript or JavaScript file here, or a bundle of one (UTF-8). */
export type TaskModule = string | Uint8Array;

/** A bundle, and the name by which servers know it. */
export interface Shipment {
  readonly source: Uint8Array;
  readonly hash: ModuleHash;
}

/** What is sent of a module. Throws `invalid_module`, naming file and line, for one that cannot be bundled or takes too much. */
export async function toShipment(module: TaskModule): Promise<Shipment> {
  const given: unknown = module; // whoever writes no types may give anything
  if (typeof given !== "string" && !(given instanceof Uint8Array))
    throw refused(`a ${typeof given} cannot travel; give the path of a file, or a bundle of one`);
  const source = typeof given === "string" ? await bundleFile(given) : given;
  if (source.length === 0) throw refused("it is empty");
  if (source.length > MAX_MODULE_BYTES)
    throw refused(`it takes ${source.length} bytes bundled, of at most ${MAX_MODULE_BYTES}`);
  return { source, hash: v.parse(ModuleHash, new Bun.CryptoHasher("sha256").update(source).digest("hex")) };
}

/** Sends a bundle, unless the server has it already; again where that is restarted meanwhile. */
export async function ship(
  session: Session,
  { source, hash }: Shipment,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (;;) {
    try {
      await invoke(session, modulePut, { hash, bytes: source.length }, signal, source);
      return;
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
  }
}

/** Loaded only for this: whoever ships no file needs no bundler. */
async function bundleFile(file: string): Promise<Uint8Array> {
  const { bundle } = await import("../../module/bundle.ts");
  return (await bundle(file)).source;
}

function refused(why: string): AppError {
  return new AppError("invalid_module", `Cannot ship a module: ${why}`);
}
