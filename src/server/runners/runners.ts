import { after } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { Again } from "../../process/again.ts";
import type { Libc } from "../../process/libc.ts";
import { AppError } from "../../protocol/error.ts";
import { formatDuration } from "../../lib/duration.ts";
import type { Login } from "../logins/login.ts";
import { type BuiltinCall, toBuiltinTask } from "./builtin-task.ts";
import { Crew, type CrewOptions } from "./crew.ts";
import { type ModuleCall, type ModuleSaid, type ModuleUnit, toMark } from "./module-call.ts";
import { toModuleTask } from "./module-task.ts";
import { Runner, type RunnerTask } from "./runner.ts";

/** Runners that do calls of one caller's as one user of the machine at once; of whom there are more, they wait for one. */
const MAX_RUNNERS = 16;

export interface RunnersOptions {
  /** Absent on Windows. */
  readonly libc: Libc | undefined;
  /** Runs this executable as a runner of such a user, or of the server's own. */
  readonly toCommand: (login: Login | undefined) => Again;
  readonly onSpawn: (pid: number, exited: Promise<unknown>) => void;
  readonly log: Log;
  /** What new files do not let others do. */
  readonly umask: number;
  /** Bytes of memory at which a process that does a custom command is killed. */
  readonly maxMemory: number;
}

/** Whose runners they are: those of one crew do each other's calls. */
interface Place extends CrewOptions {
  readonly key: string;
  /** Of a pack, which is there for all: what it is and how it is configured, and which others are the same in another version. */
  readonly pack?: { readonly mark: string; readonly line: string };
}

/** Does calls in processes: one for each call that is under way, which then waits for the next. */
export class Runners implements AsyncDisposable {
  readonly #options: RunnersOptions;
  readonly #crews = new Map<string, Crew>();
  /** Of packs, in the order in which they began. */
  readonly #packs = new Map<Crew, NonNullable<Place["pack"]>>();
  /** Marks of the packs that may be called; undefined before anybody said. */
  #current: ReadonlySet<string> | undefined;

  constructor(options: RunnersOptions) {
    this.#options = options;
  }

  /** Does a built-in command as this user: what that says on the way, and its result. `owner`: whose call it is. Throws what `toBuiltinTask` says besides its failure. */
  async *run(
    login: Login,
    owner: string,
    call: BuiltinCall,
    signal: AbortSignal,
  ): AsyncGenerator<unknown, unknown, void> {
    const key = JSON.stringify([owner, login.credentials]);
    const place = { key, max: MAX_RUNNERS, isLasting: false, start: () => this.#start(login) };
    const stream = this.#do(place, toBuiltinTask(call), signal);
    try {
      for (;;) {
        const { done, value } = await stream.next();
        if (done) return value;
        yield* value;
      }
    } finally {
      await stream.return(undefined);
    }
  }

  /**
   * Does a call of a custom command: what that says on the way, as much at once as has come, and its result as `encodeValue` writes it, or undefined where that
   * takes more than 64 KiB: it is then all that was said as `part`s since the last value. Throws what the command throws (`threw`,
   * or an `AppError` of its own), `invalid_input`, `timed_out`, `crashed` for a process that ends or says what it must not, and the
   * signal's reason.
   */
  async *runModule(
    call: ModuleCall,
    signal: AbortSignal,
  ): AsyncGenerator<readonly ModuleSaid[], Uint8Array | undefined, void> {
    const task = toModuleTask(call, this.#options.umask);
    return yield* this.#do(this.#toPlace(call), task, signal, call.timeoutMs);
  }

  /** Packs that are none of these end once their calls are done: a server that was told of newer ones has no use for them. */
  retain(units: readonly ModuleUnit[]): void {
    this.#current = new Set(units.map(toMark));
    for (const [crew, { mark }] of this.#packs) if (!this.#current.has(mark)) crew.retire();
  }

  /** Ends all of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    const all = new Set([...this.#crews.values(), ...this.#packs.keys()]);
    await Promise.all([...all].map((crew) => crew[Symbol.asyncDispose]()));
  }

  async *#do<Said, Result>(
    place: Place,
    task: RunnerTask<Said, Result>,
    signal: AbortSignal,
    timeout?: number,
  ): AsyncGenerator<readonly Said[], Result, void> {
    const crew = this.#crew(place);
    const claiming = crew.claim(signal);
    // Whoever asked before others took its place is served, and nobody after him.
    if (place.pack !== undefined && this.#current?.has(place.pack.mark) === false) crew.retire();
    const runner = await claiming;
    const limit = new AbortController();
    // Whoever waits for his turn has his time before him.
    using _late =
      timeout === undefined ? undefined : after(timeout, () => limit.abort(toLate(task.name, timeout)));
    try {
      return yield* runner.run(task, AbortSignal.any([signal, limit.signal]));
    } finally {
      crew.startReleasing(runner);
    }
  }

  #crew(place: Place): Crew {
    const known = this.#crews.get(place.key);
    if (known !== undefined && !known.isRetired) return known;
    const { log } = this.#options;
    const { key, pack } = place;
    const crew: Crew = new Crew({
      ...place,
      findFormer: () => pack && this.#findFormer(crew, pack.line),
      onFailure: (error) => log.error("runner not ended", { error: describeError(error) }),
      // Users, modules and packs come and go: of whom there is no runner nothing is kept.
      onEmpty: () => {
        if (this.#crews.get(key) === crew) this.#crews.delete(key);
        this.#packs.delete(crew);
      },
    });
    this.#crews.set(key, crew);
    if (pack !== undefined) this.#packs.set(crew, pack);
    return crew;
  }

  /** The crew of an earlier version of a pack, which may hold what the next one needs. */
  #findFormer(crew: Crew, line: string): Crew | undefined {
    for (const [other, pack] of this.#packs) {
      if (other === crew) return undefined;
      if (other.isRetired && pack.line === line) return other;
    }
    return undefined;
  }

  /** What is done for one owner meets nothing that another left in a process, except in a pack, which is there for all. */
  #toPlace({ unit, login, owner }: ModuleCall): Place {
    const user = login?.credentials ?? null;
    const start = () => this.#start(login, this.#options.maxMemory);
    if (unit.type === "program")
      return {
        key: JSON.stringify(["program", owner, user]),
        max: MAX_RUNNERS,
        isLasting: false,
        start,
      };
    const mark = toMark(unit);
    return unit.isShared
      ? {
          key: JSON.stringify(["pack", user, mark]),
          max: 1,
          isLasting: true,
          pack: { mark, line: JSON.stringify([unit.pack, user]) },
          start,
        }
      : { key: JSON.stringify(["module", owner, user, mark]), max: MAX_RUNNERS, isLasting: false, start };
  }

  #start(login: Login | undefined, maxMemory?: number): Runner {
    const { libc, toCommand, onSpawn, log } = this.#options;
    const as = login && { user: login.name };
    return new Runner({
      libc,
      again: toCommand(login),
      ...(maxMemory !== undefined && { maxMemory }),
      onSpawn,
      onFault: (cause) => log.error("call failed in a runner", { ...as, error: cause }),
      onPrinted: (command, text) => log.info("command printed", { command, ...as, text }),
    });
  }
}

function toLate(name: string, timeout: number): AppError {
  const why = `it took longer than ${formatDuration(timeout)}`;
  return new AppError("timed_out", `Cannot finish "${name}": ${why}`, { details: { limit: timeout } });
}
