import * as v from "valibot";
import { after } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { type Found, findDefinition } from "./definition.ts";

/** Milliseconds that a pack has to dispose of what its `init` made. */
const DISPOSAL = 2_000;

/** Words of a module's that are for people. */
export type Log = (...words: readonly unknown[]) => void;

export interface UnitOptions {
  /** Runs the module, and answers what it exports. */
  readonly load: () => Promise<unknown>;
  /** Of a pack, as the server's configuration has it. */
  readonly config: unknown;
  /** Aborted when the process is to end. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** A command that is ready to be called, with its pack's configuration and what `init` made. */
export interface Ready extends Found {
  readonly config: unknown;
  readonly shared: unknown;
}

/** The module of this process. It is loaded, and its pack's `init` runs, once, before the first call; what fails is tried again at the next. */
export class Unit implements AsyncDisposable {
  readonly #options: UnitOptions;
  #loaded: Promise<unknown> | undefined;
  #prepared: Promise<Pick<Ready, "config" | "shared">> | undefined;
  #dispose: (() => unknown) | undefined;

  constructor(options: UnitOptions) {
    this.#options = options;
  }

  /** Throws what the module and its `init` throw, `invalid_config`, and `unknown_command`. */
  async find(name: string): Promise<Ready> {
    this.#loaded ??= this.#options.load();
    this.#loaded.catch(() => (this.#loaded = undefined)); // whoever calls next has it tried again
    const found = findDefinition(await this.#loaded, name);
    this.#prepared ??= this.#prepare(found);
    this.#prepared.catch(() => (this.#prepared = undefined)); // the same
    return { ...found, ...(await this.#prepared) };
  }

  /** What takes too long is left behind: the process ends with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const dispose = this.#dispose;
    this.#dispose = undefined;
    const late = Promise.withResolvers<void>();
    using _limit = after(DISPOSAL, late.resolve);
    await Promise.race([(async () => await dispose?.())(), late.promise]);
  }

  async #prepare({ pack }: Found): Promise<Pick<Ready, "config" | "shared">> {
    const { signal, log } = this.#options;
    const config = pack?.config === undefined ? undefined : this.#parseConfig(pack.name, pack.config);
    const shared = await pack?.init?.(config, { signal, log });
    if (pack?.dispose !== undefined) this.#dispose = () => pack.dispose?.(shared);
    return { config, shared };
  }

  #parseConfig(pack: string, schema: v.GenericSchema): unknown {
    const parsed = v.safeParse(schema, this.#options.config ?? {});
    if (parsed.success) return parsed.output;
    const [issue] = parsed.issues;
    const key = ["extensions", pack, v.getDotPath(issue)].filter(Boolean).join(".");
    throw new AppError("invalid_config", `Cannot set up "${pack}": "${key}" is not valid: ${issue.message}`);
  }
}
