import { abortable, after } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { Again } from "../../process/again.ts";
import type { Libc } from "../../process/libc.ts";
import type { Login } from "../logins/login.ts";
import type { ModuleCall, ModuleSaid } from "./module-call.ts";
import { Runner, type RunnerTask } from "./runner.ts";

/** Runners that do calls of one caller's as one user of the machine at once; of whom there are more, they wait for one. */
const MAX_RUNNERS = 16;
/** Milliseconds that one without a call waits for the next, and how many of them do. */
const LINGER = 5_000;
const MAX_IDLE = 2;

export interface RunnersOptions {
  readonly libc: Libc | undefined;
  /** The argv that runs this executable as a runner of such a user. */
  readonly toCommand: (login: Login) => Again;
  readonly onSpawn: (pid: number, exited: Promise<unknown>) => void;
  readonly log: Log;
}

/** All runners of one user of the machine for one owner: no other waits for what is done for him. */
interface Crew {
  readonly key: string;
  readonly working: Set<Runner>;
  /** The last one was used last. */
  readonly idle: { readonly runner: Runner; readonly timer: Disposable }[];
  /** Rings when one is done. */
  readonly bell: Bell;
}

/** Does calls in processes of their callers' users: one for each call that is under way, which then waits for the next. */
export class Runners implements AsyncDisposable {
  readonly #options: RunnersOptions;
  readonly #crews = new Map<string, Crew>();

  constructor(options: RunnersOptions) {
    this.#options = options;
  }

  /** Does a call as `Runner.run` does. `owner`: whose it is. */
  async *run(
    login: Login,
    owner: string,
    task: RunnerTask,
    signal: AbortSignal,
  ): AsyncGenerator<unknown, unknown, void> {
    let crew = this.#crew(login, owner);
    while (crew.working.size >= MAX_RUNNERS) {
      await abortable(crew.bell.wait(), signal);
      crew = this.#crew(login, owner); // it is another if all of that have ended meanwhile
    }
    const runner = this.#claim(crew) ?? this.#start(login);
    crew.working.add(runner);
    try {
      return yield* runner.run(task, signal);
    } finally {
      this.#startReleasing(crew, runner);
    }
  }

  /**
   * Does a call of a custom command: what that says on the way, and its result as `encodeValue` writes it, or undefined where that
   * takes more than 64 KiB: it is then all that was said as `part`s since the last value. Throws what the command throws (`threw`,
   * or an `AppError` of its own), `invalid_input`, `timed_out`, `crashed` for a process that ends or says what it must not, and the
   * signal's reason.
   */
  runModule(
    _call: ModuleCall,
    _signal: AbortSignal,
  ): AsyncGenerator<ModuleSaid, Uint8Array | undefined, void> {
    throw new Error("Not yet");
  }

  /** Packs of other modules than these end once their calls are done: a server that was told of newer ones has no use for them. */
  retain(_hashes: ReadonlySet<string>): void {}

  /** Ends all of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#crews.values()].flatMap(({ working, idle }) => [
      ...working,
      ...idle.map(({ runner }) => runner),
    ]);
    await Promise.all(all.map((runner) => runner.end()));
  }

  #crew({ credentials }: Login, owner: string): Crew {
    const key = JSON.stringify([owner, credentials]);
    const crew = this.#crews.get(key) ?? { key, working: new Set(), idle: [], bell: new Bell() };
    this.#crews.set(key, crew);
    return crew;
  }

  #claim({ idle }: Crew): Runner | undefined {
    for (let last = idle.pop(); last !== undefined; last = idle.pop()) {
      last.timer[Symbol.dispose]();
      if (last.runner.isFree) return last.runner;
      this.#startEnding(last.runner);
    }
    return undefined;
  }

  #start(login: Login): Runner {
    const { libc, toCommand, onSpawn, log } = this.#options;
    if (libc === undefined) throw new Error("There is nobody else here to become"); // who would, is refused before
    const { argv, argv0 } = toCommand(login);
    const user = login.name;
    return new Runner({
      libc,
      argv,
      argv0,
      onSpawn,
      onFault: (cause) => log.error("call failed in a runner", { user, error: cause }),
    });
  }

  /** Runs by itself: it may still have to be told what its last call did not take. */
  #startReleasing(crew: Crew, runner: Runner): void {
    this.#release(crew, runner).catch((error) =>
      this.#options.log.error("runner not released", { error: describeError(error) }),
    );
  }

  async #release(crew: Crew, runner: Runner): Promise<void> {
    await runner.settled();
    crew.working.delete(runner);
    crew.bell.ring();
    if (!runner.isFree || crew.idle.length >= MAX_IDLE) {
      this.#forget(crew);
      return await runner.end();
    }
    const timer = after(LINGER, () => {
      crew.idle.splice(0, crew.idle.length, ...crew.idle.filter((other) => other.runner !== runner));
      this.#forget(crew);
      this.#startEnding(runner);
    });
    crew.idle.push({ runner, timer });
  }

  /** Users and their groups come and go: of whom there is no runner nothing is kept. */
  #forget({ key, working, idle }: Crew): void {
    if (working.size === 0 && idle.length === 0) this.#crews.delete(key);
  }

  #startEnding(runner: Runner): void {
    runner
      .end()
      .catch((error) => this.#options.log.error("runner not ended", { error: describeError(error) }));
  }
}
