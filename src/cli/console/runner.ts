import { AppError } from "../../protocol/error.ts";
import type { Arguments } from "../arguments.ts";
import type { Context, Surroundings } from "../context.ts";
import type { Interrupts } from "../interrupts.ts";
import { act, fail, Interrupted, parse, toContext } from "../main.ts";
import { WriteFailure } from "../sink.ts";
import { isGroup } from "../verb.ts";
import type { StandingSession } from "../standing.ts";
import type { Catalogue } from "./catalogue.ts";
import { toOptions } from "./fields.ts";
import { showCommands } from "./help.ts";
import { findNear } from "../near.ts";
import { isWord, splitWords, type Word } from "./words.ts";

/** What came of a line. */
export type Done =
  /** `isTold`: what went wrong was said. */
  | { readonly type: "done"; readonly code: number; readonly isTold: boolean }
  | { readonly type: "exit"; readonly code: number };

export interface RunnerOptions {
  readonly surroundings: Surroundings;
  /** Where signals go while a command runs. */
  readonly interrupts: Interrupts;
  /** The console's own options, which count for every command that says nothing else. */
  readonly globals: Arguments;
  readonly standing: StandingSession;
  readonly catalogue: Catalogue;
}

/** Options by which a command would go elsewhere than where the console is. */
const ELSEWHERE = ["host", "state", "workspace", "connect-timeout", "reconnect-timeout", "heartbeat"];

/** Does what lines say, one after another. */
export class Runner {
  readonly #options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Runs a line. What goes wrong is told and becomes an exit code; throws only a `WriteFailure`. */
  async run(line: string): Promise<Done> {
    const { interrupts, surroundings } = this.#options;
    const stop = new AbortController();
    using _route = interrupts.route((interrupt) => stop.abort(new Interrupted(interrupt)));
    let isJson = this.#options.globals.flag("json");
    try {
      const words = splitWords(line);
      isJson ||= words.some((word) => isWord(word, "--json"));
      const exit = toExit(words);
      if (exit !== undefined) return { type: "exit", code: exit };
      return { type: "done", code: await this.#act(words, stop.signal), isTold: false };
    } catch (error) {
      if (error instanceof WriteFailure) throw error;
      return {
        type: "done",
        code: fail(error, isJson, surroundings),
        isTold: !(error instanceof Interrupted),
      };
    } finally {
      const { stdout, stderr } = surroundings.sinks;
      await Promise.all([stdout.flushed(), stderr.flushed()]);
    }
  }

  async #act(words: readonly Word[], signal: AbortSignal): Promise<number> {
    const { catalogue, globals, standing, surroundings, interrupts } = this.#options;
    const find = (path: readonly string[]) => catalogue.find(path, signal);
    const texts = await this.#spell(words, signal);
    const asked = await parse(texts, find);
    const isElsewhere = ELSEWHERE.some((name) => asked.globals.text(name) !== undefined);
    const own = toContext(asked.globals.after(globals), { ...surroundings, interrupts }, signal);
    // Elsewhere the console's token is nobody's business.
    const context: Context = isElsewhere
      ? { ...own, standing: undefined, token: undefined }
      : { ...own, standing };
    if (asked.name === undefined && asked.values.flag("help")) return await showCommands(catalogue, context);
    return await act(asked, context);
  }

  /** The words as a command line has them, in which fields that are named are options. Throws `unknown_command`. */
  async #spell(words: readonly Word[], signal: AbortSignal): Promise<readonly string[]> {
    const { catalogue } = this.#options;
    const [first, second] = words.map(({ text }) => text);
    if (first === undefined || first.startsWith("-") || first === "help")
      return words.map(({ text }) => text);
    const topic = await catalogue.find([first], signal);
    if (topic === undefined) throw await this.#unknown(first, signal);
    const [path, verb] =
      isGroup(topic) && second !== undefined
        ? [[first, second], await catalogue.find([first, second], signal)]
        : [[first], topic];
    if (verb === undefined || isGroup(verb)) return words.map(({ text }) => text);
    return [...path, ...toOptions(words.slice(path.length), verb)];
  }

  async #unknown(name: string, signal: AbortSignal): Promise<AppError> {
    const near = findNear(name, await this.#options.catalogue.names(signal));
    const advice = near.length === 0 ? "help lists them" : `did you mean ${near.join(" or ")}?`;
    return new AppError("unknown_command", `Cannot do "${name}": there is no such command; ${advice}`);
  }
}

/** The code to exit with, if that is what the line says. */
function toExit([first, code, ...others]: readonly Word[]): number | undefined {
  if (first?.text !== "exit" && first?.text !== "quit") return undefined;
  if (code === undefined) return 0;
  if (others.length === 0 && /^\d{1,3}$/.test(code.text) && Number(code.text) < 256) return Number(code.text);
  throw new AppError(
    "invalid_input",
    `Cannot exit with "${code.text}": write one number from 0 to 255, or none`,
  );
}
