import { existsSync, lstatSync, readdirSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { after, turn } from "../../lib/abort.ts";
import { ANSWER_FILE, BuildAnswer, type BuildOrder, SOURCE_FILE } from "../../module/answer.ts";
import type { PackTables } from "../../module/build.ts";
import { digest } from "../../module/bundle.ts";
import type { ModuleDescription } from "../../module/description.ts";
import { toModuleError } from "../../module/problem.ts";
import { fromErrorBody } from "../../protocol/error.ts";
import type { Again } from "../../process/again.ts";

const PREFIX = "farhand-build-";
/** Milliseconds in which a module must be bundled and loaded. */
const PATIENCE = 20_000;
/** All that it finds in its environment; of these the last two are Windows', where nothing starts without them. */
const ENVIRONMENT = ["PATH", "HOME", "SystemRoot", "TEMP"];
/** Characters of what it wrote to stderr that are told of one that ended its process. */
const LAST_WORDS = 400;

export interface BuilderOptions {
  /** How this executable is run to build the module of a file into a directory. */
  readonly toCommand: (file: string, directory: string) => Again;
  /** Of whom a word is in the names of the directories in which it builds; of one that has none nobody clears up what is left of them. */
  readonly owner?: string;
  /** Milliseconds (default 20 s). */
  readonly patience?: number;
}

interface Order {
  readonly file: string;
  readonly directory: string;
  readonly packs: PackTables | undefined;
}

/** A module, bundled, and what is known of it. */
export interface Built {
  /** UTF-8. */
  readonly source: Uint8Array;
  /** Of the source: SHA-256 as hex. */
  readonly hash: string;
  readonly description: ModuleDescription;
  readonly warnings: readonly string[];
  /** The files that it was made of, absolute. */
  readonly inputs: readonly string[];
}

/** Builds modules, each in a process of its own: one that loops, exits or crashes as it is loaded hurts nothing here. */
export class Builder {
  readonly #options: BuilderOptions;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  get #prefix(): string {
    const { owner } = this.#options;
    return owner === undefined ? PREFIX : `${PREFIX}${owner}-`;
  }

  /** Removes what one of the same owner has left that was killed; nobody else of that owner builds. */
  clear(): void {
    for (const path of this.#listLeft()) rmSync(path, { recursive: true, force: true });
  }

  #listLeft(): readonly string[] {
    try {
      const found = readdirSync(tmpdir()).filter((name) => name.startsWith(this.#prefix));
      // Where everybody may write, a name proves nothing.
      return found
        .map((name) => join(tmpdir(), name))
        .filter((path) => lstatSync(path).uid === process.getuid?.());
    } catch {
      return []; // whoever builds is told that there is no such directory
    }
  }

  /**
   * Throws `invalid_module`, whose message names file, line and column, and whose details all that is wrong; and
   * `invalid_config`, which names the key, where one of `packs` is the module's and does not fit it.
   */
  async build(file: string, signal: AbortSignal, packs?: PackTables): Promise<Built> {
    const directory = await mkdtemp(join(tmpdir(), this.#prefix));
    try {
      const ended = await this.#run({ file, directory, packs }, signal);
      const path = join(directory, ANSWER_FILE);
      if (!existsSync(path)) throw toModuleError(file, [{ message: ended, file: resolve(file) }]);
      const answer = v.parse(BuildAnswer, await Bun.file(path).json());
      if (answer.type === "failed") throw fromErrorBody(answer.error);
      const source = await Bun.file(join(directory, SOURCE_FILE)).bytes();
      return { ...answer, source, hash: digest(source) };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** How the process ended, as it is told of one that has left no answer. */
  async #run({ file, directory, packs }: Order, signal: AbortSignal): Promise<string> {
    const { toCommand, patience = PATIENCE } = this.#options;
    const { argv, argv0 } = toCommand(resolve(file), directory);
    const order: BuildOrder = { parent: process.pid, ...(packs && { packs: { ...packs } }) };
    const child = Bun.spawn([...argv], {
      argv0,
      cwd: "/",
      env: pick(ENVIRONMENT),
      stdin: new TextEncoder().encode(JSON.stringify(order)),
      stdout: "ignore",
      stderr: "pipe",
      signal,
      killSignal: "SIGKILL",
    });
    let isLate = false;
    using _limit = after(patience, () => {
      isLate = true;
      child.kill("SIGKILL");
    });
    const hear = listen(child.stderr);
    const code = await child.exited;
    const last = await hear();
    signal.throwIfAborted();
    if (isLate) return `it takes more than ${patience / 1_000} s to load`;
    const how = child.signalCode ? `signal ${child.signalCode}` : `exit code ${code}`;
    const what = `it ended its process as it was loaded, with ${how}`;
    return last === "" ? what : `${what}: ${last}`;
  }
}

/** Reads what a process writes, and answers the last of it on one line; what holds its pipe longer is not waited for. */
function listen(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const reading = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text = (text + decoder.decode(value, { stream: true })).slice(-LAST_WORDS);
    }
  })();
  return async () => {
    await Promise.race([reading, turn()]);
    await reader.cancel();
    return text.trim().replaceAll(/\s+/g, " ");
  };
}

function pick(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
