import * as v from "valibot";
import { abortable, after } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { toMessage } from "../../lib/message.ts";
import { AppError } from "../../protocol/error.ts";
import { findTrusted } from "../trusted.ts";
import type { Admitted, Backend, Claim } from "./backend.ts";
import { AccountName } from "./name.ts";
import type { Roles } from "./roles.ts";
import { Turnstile } from "./turnstile.ts";

/** Milliseconds in which it must answer. */
const PATIENCE = 10_000;
/** Questions that it is asked at once, and how many more wait. */
const ASKED_AT_ONCE = 8;
const ASKING_LINE = 64;

/** What a module of the operator's own exports. */
const Exports = v.object({
  authenticate: v.custom<(claim: Claim) => unknown>((value) => typeof value === "function"),
});

/** What it answers of somebody whom it knows; of nobody it answers undefined. */
const Answer = v.strictObject({ user: AccountName, roles: v.array(v.string()) });

export interface ModuleOptions {
  readonly path: string;
  readonly roles: () => Roles;
  readonly log: Log;
  /** Milliseconds in which it must answer (default 10 s). */
  readonly patience?: number;
}

/** A module of the operator's own that decides who may log in. What goes wrong in it lets nobody in. */
export class Module implements Backend {
  readonly #options: ModuleOptions;
  readonly #authenticate: (claim: Claim) => unknown;
  readonly #turnstile = new Turnstile(ASKED_AT_ONCE, ASKING_LINE);

  private constructor(options: ModuleOptions, authenticate: (claim: Claim) => unknown) {
    this.#options = options;
    this.#authenticate = authenticate;
  }

  /** Loads it, again if it was loaded before. Throws `invalid_config` for one that others may write, or that is of no use. */
  static async open(options: ModuleOptions): Promise<Module> {
    const file = findTrusted(options.path, "file", (why, cause) => refuse(options.path, why, cause));
    try {
      // The runtime keeps what it has loaded by a name; what it imports by itself it keeps.
      const name = `${file}?${crypto.randomUUID()}`;
      const exports: unknown = await import(name);
      return new Module(options, v.parse(Exports, exports).authenticate);
    } catch (error) {
      const isOurs = error instanceof v.ValiError;
      const why = isOurs ? "it exports no function authenticate" : toSentence(error);
      throw refuse(options.path, why, error);
    }
  }

  async check(claim: Claim): Promise<Admitted | undefined> {
    const place = await this.#turnstile.enter();
    const asked = this.#ask(claim).finally(() => place[Symbol.dispose]());
    const { patience = PATIENCE } = this.#options;
    const limit = new AbortController();
    using _timer = after(patience, () => limit.abort(new Error(`it took more than ${patience / 1_000} s`)));
    try {
      const answer = await abortable(asked, limit.signal);
      return answer ? this.#read(answer) : undefined;
    } catch (error) {
      this.#blame(describeError(error), claim);
      return undefined;
    }
  }

  /** Whatever it does, it does in its own time: one that never answers keeps its place. */
  async #ask({ user, password, source }: Claim): Promise<unknown> {
    return await this.#authenticate({ user, password, source });
  }

  #read(answer: unknown): Admitted {
    const { user, roles } = v.parse(Answer, answer);
    const unknown = roles.find((role) => !this.#options.roles().has(role));
    if (unknown === undefined) return { user, roles };
    throw new AppError(
      "invalid_input",
      `it gives the role ${JSON.stringify(unknown)}, which is not configured`,
    );
  }

  #blame(error: string, { password, source }: Claim): void {
    const shown = password === "" ? error : error.replaceAll(password, "***");
    this.#options.log.error("auth.module failed: nobody is let in", { error: shown, source });
  }
}

function toSentence(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return toSentence(error.errors[0]);
  return toMessage(error).split("\n", 1)[0] ?? "";
}

function refuse(path: string, why: string, cause?: unknown): AppError {
  return new AppError("invalid_config", `Cannot use auth.module "${path}": ${why}`, { cause });
}
