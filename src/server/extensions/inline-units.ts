import { abortable } from "../../lib/abort.ts";
import type { Unit } from "../../runner/unit.ts";
import { type ModuleUnit, toMark } from "../runners/module-call.ts";

/** A module that is loaded here, and how many calls of it are under way. */
interface Held {
  readonly unit: Unit;
  readonly pack: string | undefined;
  readonly gone: PromiseWithResolvers<void>;
  calls: number;
  isOutdated: boolean;
}

export interface InlineUnitsOptions {
  readonly create: (module: ModuleUnit) => Unit;
  /** One could not be disposed of. */
  readonly onFailure: (error: unknown) => void;
}

/** The modules that are loaded in this process. Of a pack one version is there at a time: the next begins when that has done its calls. */
export class InlineUnits implements AsyncDisposable {
  readonly #options: InlineUnitsOptions;
  /** Those that are called, by their marks. */
  readonly #current = new Map<string, Held>();
  readonly #outdated = new Set<Held>();

  constructor(options: InlineUnitsOptions) {
    this.#options = options;
  }

  /** A module for one call, which disposes of this when it is over. Throws the signal's reason. */
  async take(module: ModuleUnit, signal: AbortSignal): Promise<{ readonly unit: Unit } & Disposable> {
    const held = this.#find(module);
    held.calls++;
    const release = () => {
      held.calls--;
      this.#endIfDone(held);
    };
    try {
      const former = [...this.#outdated].filter(({ pack }) => pack !== undefined && pack === held.pack);
      for (const { gone } of former.filter((other) => other !== held)) await abortable(gone.promise, signal);
      return { unit: held.unit, [Symbol.dispose]: release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Modules that are none of these are called no more; each ends with the last call of it that is under way. */
  retain(modules: readonly ModuleUnit[]): void {
    const marks = new Set(modules.map(toMark));
    for (const [mark, held] of this.#current) {
      if (marks.has(mark)) continue;
      this.#current.delete(mark);
      this.#outdated.add(held);
      held.isOutdated = true;
      this.#endIfDone(held);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#current.values(), ...this.#outdated];
    await Promise.all(all.map(({ unit }) => unit[Symbol.asyncDispose]()));
  }

  #find(module: ModuleUnit): Held {
    const mark = toMark(module);
    const held = this.#current.get(mark) ?? {
      unit: this.#options.create(module),
      pack: module.pack,
      gone: Promise.withResolvers<void>(),
      calls: 0,
      isOutdated: false,
    };
    this.#current.set(mark, held);
    return held;
  }

  #endIfDone(held: Held): void {
    if (!held.isOutdated || held.calls > 0) return;
    held.unit[Symbol.asyncDispose]()
      .catch(this.#options.onFailure)
      .finally(() => {
        this.#outdated.delete(held);
        held.gone.resolve();
      });
  }
}
