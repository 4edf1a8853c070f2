import { basename, dirname } from "node:path";
import { findHiding } from "../../commands/client-verbs.ts";
import { after } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { findProblems } from "../../module/problem.ts";
import { AppError } from "../../protocol/error.ts";
import type { Reloadable } from "../reload.ts";
import type { ModuleUnit } from "../runners/module-call.ts";
import type { Built } from "./builder.ts";
import type { CustomCommand } from "./custom.ts";
import { type Extension, type Offer, toOffer } from "./offer.ts";
import type { ExtensionSettings, PacksTable } from "./settings.ts";
import { type Fault, findSource, listSources } from "./sources.ts";

/** Modules that are built at once. */
const BUILT_AT_ONCE = 2;

const NONE: Offer = { commands: new Map(), faults: [] };

/** A module that is to be built, by what reports call it, and what the configuration says of packs. */
interface Source {
  readonly file: string;
  readonly name: string;
  readonly packs: PacksTable;
}

/** What came of building a module. */
interface Renewed {
  readonly extension?: Extension;
  readonly fault?: Fault;
  /** What may put right what is wrong with it, once it changes: files, and directories into which one may come. */
  readonly broken?: readonly string[];
}

export interface ExtensionsOptions {
  /** Bundles and describes a module in a process of its own. Throws `invalid_module`, and `invalid_config` of its pack. */
  readonly build: (file: string, signal: AbortSignal, packs: PacksTable) => Promise<Built>;
  /** Only these modules are called from now on, so configured. */
  readonly retain: (units: readonly ModuleUnit[]) => void;
  readonly log: Log;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/** The commands of the operator's own: modules as they were when they were last whole, and programs. */
export class Extensions implements Reloadable {
  readonly name = "commands";
  readonly #options: ExtensionsOptions;
  #extensions: readonly Extension[] = [];
  #offer = NONE;
  /** What is wrong at the moment. */
  #faults: readonly Fault[] = [];
  #broken: readonly string[] = [];
  /** Resolves once what there was at the start is built. */
  #ready: Promise<unknown> = Promise.resolve();
  #begunAt = 0;
  /** Rung when others are offered. */
  readonly #offered = new Bell();
  /** The same of what was asked for last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ExtensionsOptions) {
    this.#options = options;
  }

  /** Has all of them built. Who asks for one meanwhile waits; what is wrong is logged. */
  start(settings: ExtensionSettings): void {
    const { log } = this.#options;
    this.#begunAt = Date.now();
    this.#ready = this.#inTurn(settings)
      .then((now) => {
        if (now !== undefined) log.info("commands of one's own", { names: [...this.#offer.commands.keys()] });
        for (const { name, reason } of this.#faults) log.error("not offered", { name, reason });
      })
      .catch((error) => log.error("commands of one's own failed", { error: describeError(error) }));
  }

  /** Resolves once all that there was at the start is built, or that many milliseconds are over. */
  async ready(patience: number = Number.POSITIVE_INFINITY): Promise<void> {
    const over = Promise.withResolvers<void>();
    using _limit = Number.isFinite(patience) ? after(patience, over.resolve) : undefined;
    await Promise.race([this.#ready, over.promise]);
  }

  /** The command of this name as soon as there is one; undefined once all that was to be built is, and it is not among that. */
  async findOnceBuilt(name: string): Promise<CustomCommand | undefined> {
    let isReady = false;
    const ready = this.#ready.then(() => (isReady = true));
    for (;;) {
      const found = this.find(name);
      if (found !== undefined || isReady) return found;
      await Promise.race([this.#offered.wait(), ready]);
    }
  }

  /** The command of this name, as it is now. */
  find(name: string): CustomCommand | undefined {
    return this.#offer.commands.get(name);
  }

  list(): readonly CustomCommand[] {
    return [...this.#offer.commands.values()];
  }

  /** What is wrong with modules and what the configuration says of them. */
  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** Files whose change may change a command. */
  get inputs(): readonly string[] {
    return [
      ...new Set([...this.#extensions.flatMap(({ file, inputs }) => [file, ...inputs]), ...this.#broken]),
    ];
  }

  /** When the first of them were read: whatever has changed since may be unknown here. */
  get begunAt(): number {
    return this.#begunAt;
  }

  async reload(
    { extensions }: { readonly extensions: ExtensionSettings },
    onFault: (fault: Fault) => void = () => {},
  ): Promise<string | undefined> {
    const now = await this.#inTurn(extensions);
    for (const fault of this.#faults) onFault(fault);
    return now;
  }

  /** One at a time: what was asked for last is what counts. */
  #inTurn(settings: ExtensionSettings): Promise<string | undefined> {
    const done = this.#last.then(() => this.#build(settings));
    this.#last = done.catch(() => {}); // whoever asked is told
    return done;
  }

  async #build(settings: ExtensionSettings): Promise<string | undefined> {
    const { files, faults } = listSources(settings);
    const before = this.#offer;
    const renewed: Renewed[] = [];
    await eachOf(files.entries(), BUILT_AT_ONCE, async ([index, file]) => {
      const name = dirname(file) === settings.directory ? basename(file) : file;
      renewed[index] = await this.#renew({ file, name, packs: settings.packs });
      // At first one that takes long keeps none of the others waiting.
      if (before === NONE) this.#offerAll(Object.values(renewed), settings);
    });
    const unfit = this.#offerAll(renewed, settings);
    this.#broken = renewed.flatMap(({ broken }) => broken ?? []);
    this.#faults = [...faults, ...renewed.flatMap(({ fault }) => fault ?? []), ...unfit];
    const units = this.list().flatMap(({ unit }) => (unit.type === "module" ? unit : []));
    this.#options.retain(units);
    this.#warnOfHidden(before);
    const changes = listChanges(before, this.#offer);
    return changes.length === 0 ? undefined : changes.join("; ");
  }

  #offerAll(renewed: readonly Renewed[], settings: ExtensionSettings): readonly Fault[] {
    this.#extensions = renewed.flatMap(({ extension }) => extension ?? []);
    this.#offer = toOffer(this.#extensions, settings);
    this.#offered.ring();
    return this.#offer.faults;
  }

  /** Of those that are new: there they are all the same. */
  #warnOfHidden(before: Offer): void {
    for (const name of this.#offer.commands.keys()) {
      const reason = before.commands.has(name) ? undefined : findHiding(name);
      if (reason !== undefined) this.#options.log.warn("command hidden", { name, reason });
    }
  }

  /** The module as it is now; as it was before, if it is broken. */
  async #renew({ file, name, packs }: Source): Promise<Renewed> {
    const { build, signal } = this.#options;
    const before = this.#extensions.find((extension) => extension.file === file);
    try {
      const { source, description, inputs } = await build(findSource(file), signal, packs);
      if (description.task !== undefined)
        throw new AppError("invalid_module", "it is a task, which farhand task start runs");
      const config = description.pack && (packs[description.pack.name] ?? {});
      const isSame = before !== undefined && Bun.deepEquals(before.description, description);
      const kept = isSame ? before : { file, name, source, description };
      return { extension: { ...kept, inputs, ...(config && { config }) } };
    } catch (error) {
      if (signal.aborted) throw error;
      const known = error instanceof AppError;
      if (!known) this.#options.log.error("module not built", { file, error: describeError(error) });
      const why = known ? error.message : "the server's log says why";
      const problems = known ? findProblems(error) : [];
      const broken = problems.flatMap(({ file, mending = [] }) => [file ?? [], mending].flat());
      return { ...(before && { extension: before }), fault: { name, reason: why }, broken };
    }
  }
}

/** What is other than it was, as a reload tells it. */
function listChanges(before: Offer, now: Offer): string[] {
  const names = (verb: string, list: readonly string[]) =>
    list.length === 0 ? [] : [`${verb} ${list.join(", ")}`];
  const isOther = ([name, command]: readonly [string, CustomCommand]) => {
    const former = before.commands.get(name);
    return former !== undefined && !Bun.deepEquals(former, command);
  };
  return [
    ...names(
      "new",
      [...now.commands.keys()].filter((name) => !before.commands.has(name)),
    ),
    ...names(
      "changed",
      [...now.commands].filter(isOther).map(([name]) => name),
    ),
    ...names(
      "gone",
      [...before.commands.keys()].filter((name) => !now.commands.has(name)),
    ),
  ];
}

/** Does something for each, with at most `width` of them under way. */
async function eachOf<T>(
  items: IterableIterator<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const go = async () => {
    for (const item of items) await work(item);
  };
  await Promise.all(Array.from({ length: width }, go));
}
